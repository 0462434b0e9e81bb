"""Bodies of requests, taken in before anything else: whole, bounded, in time, while no shared place is held.

Django writes a body of any length to disk before a view can refuse it, and a sender who takes his time would
keep one of the places that all pages share. Half a body, of a sender who hung up, is no request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Self, TypeVar

from django.utils.translation import gettext as _

from core.lib import json_out, problems

T = TypeVar("T")

LONGEST_S = 30.0  # from a body's first byte to its last

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Reply = tuple[int, bytes, list[tuple[bytes, bytes]]]  # status, body and headers, but for the body's length


class Refused(Exception):
    """The body is not taken in: the status of the answer, and why."""

    def __init__(self, status: int, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_s = status, detail, retry_after_s


class TooLong(Refused):
    """It has more bytes than are taken in."""

    def __init__(self) -> None:
        super().__init__(413, _("This is more than the console takes in one request."))


class Gone(Exception):
    """The sender hung up."""


class Room:
    """For bodies that come in or have no answer yet: so many bytes of them at once. Of one event loop."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._n_bytes = 0
        # Since when each task reads, the oldest first. One timer looks at all: with asyncio.timeout, or a
        # timer for each, calls for predictions would take a tenth longer.
        self._since: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._looks_in: asyncio.AbstractEventLoop | None = None

    def share(self) -> "Share":
        """For the body of one request, until it has its answer."""
        return Share(self)

    def take(self, n_bytes: int) -> None:
        """Raises Refused."""
        if n_bytes and self._n_bytes + n_bytes > self._most_bytes:
            raise Refused(503, _("Too much is being sent just now. Try again soon."), retry_after_s=5)
        self._n_bytes += n_bytes

    def give_back(self, n_bytes: int) -> None:
        self._n_bytes -= n_bytes

    def begin(self) -> asyncio.Task[Any]:
        """The current task reads: after `LONGEST_S`, or a little later, it is cancelled, or has ended."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._since[task] = loop.time()
        if self._looks_in is not loop:
            self._look_later(loop)
        return task

    def is_late(self, task: asyncio.Task[Any]) -> bool:
        return task in self._late

    def end(self, task: asyncio.Task[Any]) -> None:
        del self._since[task]
        self._late.discard(task)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._looks_in = loop
        loop.call_later(LONGEST_S / 30, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, since in self._since.items():
            if now - since < LONGEST_S:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        if self._since:
            self._look_later(loop)
        else:
            self._looks_in = None


class Share:
    """What one request holds of a room."""

    __slots__ = ("_n_bytes", "_room")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._n_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._room.give_back(self._n_bytes)

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive, *, most_bytes: int) -> bytes:
        """The whole body, counted while it comes in, whatever its length was said to be.

        Raises TooLong, Refused, Gone.
        """
        announced = headers.get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 15 or int(announced) > most_bytes:
            raise TooLong
        task = self._room.begin()
        try:
            return await self._whole(receive, most_bytes)
        except asyncio.CancelledError as error:
            if not self._room.is_late(task) or task.uncancel() > 0:  # somebody else cancelled it, too
                raise
            detail = _("The request did not arrive within %(n)d seconds.") % {"n": int(LONGEST_S)}
            raise Refused(408, detail) from error
        finally:
            self._room.end(task)

    async def _whole(self, receive: Receive, most_bytes: int) -> bytes:
        parts: list[bytes] = []
        has_more = True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part = message.get("body", b"")
            if self._n_bytes + len(part) > most_bytes:
                raise TooLong
            self._room.take(len(part))
            self._n_bytes += len(part)
            parts.append(part)
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


async def unless_left(work: Coroutine[Any, Any, T], receive: Receive) -> T:
    """What it gives. Raises Gone when the sender hangs up, whose body has been read: then it is cancelled."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_hung_up(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def reply(why: Refused) -> Reply:
    """The refusal as a problem document; what was not read of the body makes the connection useless."""
    content = json_out.encode(problems.body(why.status, problems.TITLES[why.status], why.detail))
    headers = [(b"content-type", b"application/problem+json"), (b"connection", b"close")]
    if why.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % why.retry_after_s))
    return why.status, content, headers


async def refuse(send: Send, why: Refused) -> None:
    """Answer without an application."""
    status, content, headers = reply(why)
    headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
