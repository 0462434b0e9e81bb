"""Bodies of requests, taken in before anything else: whole, bounded, in time, while no shared place is held.

Django writes a body of any length to disk before a view can refuse it, and a sender who takes his time would
keep one of the places that all pages share.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from core.lib import json_out, problems

# Django itself refuses more than 1 MiB with a page of its own; beyond this nobody listens any more.
MOST_BYTES = 2 * 1024 * 1024
LONGEST_S = 30.0  # from a body's first byte to its last
# Of all that the process holds at once, and nobody has answered yet: whoever sends them need not sign in.
MOST_HELD_BYTES = 128 * MOST_BYTES

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Refused(Exception):
    """The body is not taken in: the status of the answer, and why."""

    def __init__(self, status: int, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_s = status, detail, retry_after_s


class Gone(Exception):
    """The sender hung up."""


class Room:
    """For the bodies of all requests that a process has at once."""

    def __init__(self) -> None:
        self._n_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """What a request calls for each of its bytes; they are given back at the end. Raises Refused."""
        n_taken = 0

        def take(n_bytes: int) -> None:
            nonlocal n_taken
            if n_bytes and self._n_bytes + n_bytes > MOST_HELD_BYTES:
                raise Refused(503, _("Too much is being sent just now. Try again soon."), retry_after_s=5)
            self._n_bytes += n_bytes
            n_taken += n_bytes

        try:
            yield take
        finally:
            self._n_bytes -= n_taken


async def read(scope: Scope, receive: Receive, take: Callable[[int], None]) -> bytes:
    """The whole body, counted while it comes in, whatever its length was said to be.

    take: told of each part's size before it is kept. Raises Refused, Gone.
    """
    try:
        async with asyncio.timeout(LONGEST_S):
            return await _whole(scope, receive, take)
    except TimeoutError as error:
        detail = _("The request did not arrive within %(n)d seconds.") % {"n": int(LONGEST_S)}
        raise Refused(408, detail) from error


async def _whole(scope: Scope, receive: Receive, take: Callable[[int], None]) -> bytes:
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if not announced.isdigit() or len(announced) > 15 or int(announced) > MOST_BYTES:
        raise _too_long()
    parts: list[bytes] = []
    size, has_more = 0, True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BYTES:
            raise _too_long()
        take(len(part))
        parts.append(part)
        has_more = message.get("more_body", False)
    return b"".join(parts)


def _too_long() -> Refused:
    return Refused(413, _("This is more than the console takes in one request."))


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


async def refuse(send: Send, why: Refused) -> None:
    """Answer without an application."""
    content = json_out.encode(problems.body(why.status, problems.TITLES[why.status], why.detail))
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(content)),
        (b"connection", b"close"),
    ]
    if why.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % why.retry_after_s))
    await send({"type": "http.response.start", "status": why.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
