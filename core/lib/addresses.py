"""Where a request comes from, behind as many reverse proxies as the installation says."""

import ipaddress
import re

from django.conf import settings
from django.http import HttpRequest

_WITH_PORT = re.compile(r"\[(?P<six>[0-9a-fA-F:.]+)\](:\d+)?|(?P<four>[0-9.]+):\d+")


def of(request: HttpRequest) -> str:
    """The caller's address: what the outermost of our proxies wrote into X-Forwarded-For.

    What stands before that is the caller's own claim. Without proxies, the other end of the connection.
    """
    connected: str = request.META.get("REMOTE_ADDR", "")
    n_proxies = settings.CONSOLE_PROXY_COUNT
    if not n_proxies:
        return connected
    claimed = request.headers.get("X-Forwarded-For", "").split(",")
    return _plain(claimed[-n_proxies]) or connected if len(claimed) >= n_proxies else connected


def _plain(text: str) -> str:
    """The address alone, without a port; empty for what is none."""
    text = text.strip()
    if found := _WITH_PORT.fullmatch(text):
        text = found["six"] or found["four"]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
