"""Websockets that lead nowhere: refused in the handshake, with a status where the server can say one."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from core.lib import json_out, problems
from core.lib.errors import NotFound

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


async def refuse(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """404, or what the server makes of a handshake that is closed at once (403)."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close"})
        return
    title, detail = str(NotFound.title), _("There is no websocket at this address.")
    headers = [(b"content-type", b"application/problem+json")]
    await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
    body = json_out.encode(problems.body(404, title, detail))
    await send({"type": "websocket.http.response.body", "body": body})
