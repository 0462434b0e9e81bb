"""Websockets only from our own pages: browsers send our cookies with any site's, CORS or not.

A browser always says whose page asks. What says nothing of it is a program, which holds what it sends itself.
"""

from typing import Any
from urllib.parse import urlsplit

import structlog
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import validate_host

log = structlog.get_logger(__name__)


class SameOrigin:
    """Refuses (403) a handshake with an Origin that is neither the public address nor the host it came to."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        """Go on, or refuse."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        origin, host = headers.get(b"origin", ""), headers.get(b"host", "")
        if b"origin" not in headers or is_ours(origin, host):
            return await self.inner(scope, receive, send)
        log.warning("socket.foreign_origin", origin=origin[:200], host=host[:200])
        return await WebsocketDenier()(scope, receive, send)


def is_ours(origin: str, host: str) -> bool:
    """Whether pages of `origin` (scheme://host:port) are ours, for a request sent to `host` (host:port)."""
    try:
        asked = urlsplit(origin)
        public = urlsplit(settings.CONSOLE_PUBLIC_URL)
        if asked.scheme not in {"http", "https"} or not asked.hostname:
            return False
        if (asked.scheme, asked.netloc) == (public.scheme, public.netloc):
            return True
        return asked.netloc == host and validate_host(asked.hostname, settings.ALLOWED_HOSTS)
    except ValueError:  # a port that is no number, a bracket too many
        return False
