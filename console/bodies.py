"""Bodies of requests, taken in before anything else: whole, bounded, and while no shared place is held.

Django writes a body of any length to disk before a view can refuse it, and a sender who takes his time would
keep one of the places that all pages share.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from django.utils.translation import gettext as _

from core.lib import json_out, problems

# Django itself refuses more than 1 MiB with a page of its own; beyond this nobody listens any more.
MOST_BYTES = 2 * 1024 * 1024

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class TooLong(Exception):
    """More than the console takes in."""


class Gone(Exception):
    """The sender hung up."""


async def read(scope: Scope, receive: Receive) -> bytes:
    """The whole body, counted while it comes in, whatever its length was said to be. Raises TooLong, Gone."""
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if not announced.isdigit() or len(announced) > 15 or int(announced) > MOST_BYTES:
        raise TooLong
    parts: list[bytes] = []
    size, has_more = 0, True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise TooLong
        has_more = message.get("more_body", False)
    return b"".join(parts)


def again(body: bytes, receive: Receive) -> Receive:
    """What an application receives when the body is here already."""
    is_given = False

    async def give() -> dict[str, Any]:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return give


async def refuse(send: Send) -> None:
    """Answer 413 without an application."""
    detail = _("This is more than the console takes in one request.")
    content = json_out.encode(problems.body(413, problems.TITLES[413], detail))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(content)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": content})
