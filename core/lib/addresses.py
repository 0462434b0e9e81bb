"""Where a request comes from, behind as many reverse proxies as the installation says."""

import ipaddress
import re
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest

_WITH_PORT = re.compile(r"\[(?P<six>[0-9a-fA-F:.]+)\](:\d+)?|(?P<four>[0-9.]+):\d+")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FORWARDED = b"x-forwarded-"


def without_claims(scope: dict[str, Any]) -> dict[str, Any]:
    """The connection without X-Forwarded-*, unless one of our proxies made it.

    Where nobody said which addresses these have, any that connects is taken for one.
    """
    known = networks(tuple(settings.CONSOLE_PROXY_NETWORKS))
    if not known or _is_within(scope.get("client"), known):
        return scope
    headers = [pair for pair in scope["headers"] if not pair[0].lower().startswith(FORWARDED)]
    return {**scope, "headers": headers}


@cache
def networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Addresses and networks as text, to compare with. Raises ValueError for what is neither."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def _is_within(client: tuple[str, int] | None, known: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(client[0] if client else "")
    except ValueError:  # a socket file has none
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in known)


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
