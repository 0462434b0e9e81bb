"""Django under ASGI, each request in one thread that stays, with its connections to PostgreSQL.

Every view and middleware of the console is synchronous. Django's own handler would make a thread for each
request, sign in to PostgreSQL for it anew, and go back to the event loop between middleware and view: most of
the time of a small page.
"""

import asyncio
import contextvars
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import connections
from django.urls import set_script_prefix

from core.lib import bodies, caller, downloads

# A thread that nobody needed for so long ends, with its connections. One that the server has ended meanwhile
# is found out before it is used.
KEPT_S = 60

T = TypeVar("T")


class Thread:
    """Does one thing after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "django", initializer=_keep_connections)
        self._context = contextvars.copy_context()
        self.last: Future[Any] | None = None
        self.used_at = time.monotonic()

    def begin(self) -> None:
        """What an earlier request said of its reader's language and time zone is no longer so."""
        self._context = contextvars.copy_context()

    async def run(self, what: Callable[..., T], *given: Any) -> T:
        """What it returns or raises; it goes on to its end though nobody waits any more."""
        self.last = self._executor.submit(self._context.run, what, *given)
        return await asyncio.wrap_future(self.last)

    def end(self) -> None:
        """Once what it does is done. Nothing runs in it any more."""
        self._executor.submit(connections.close_all)
        self._executor.shutdown(wait=False)


def _keep_connections() -> None:
    for mine in connections.all():
        mine.settings_dict = {**mine.settings_dict, "CONN_MAX_AGE": KEPT_S, "CONN_HEALTH_CHECKS": True}


class Threads:
    """Those that wait for a request, the one used last on top: the others grow old, and end. Of one loop."""

    def __init__(self) -> None:
        self._idle: list[Thread] = []
        self._sweep: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._idle)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Thread]:
        """For one request."""
        thread = self._idle.pop() if self._idle else Thread()
        thread.begin()
        try:
            yield thread
        finally:
            if thread.last is None or thread.last.done():
                self._put_back(thread)
            else:  # nobody waits for its work any more
                back = partial(asyncio.get_running_loop().call_soon_threadsafe, self._put_back, thread)
                thread.last.add_done_callback(lambda _work: back())

    def _put_back(self, thread: Thread) -> None:
        thread.used_at = time.monotonic()
        self._idle.append(thread)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEPT_S, self._end_old)

    def _end_old(self) -> None:
        self._sweep = None
        oldest = time.monotonic() - KEPT_S
        old = [thread for thread in self._idle if thread.used_at <= oldest]
        self._idle = [thread for thread in self._idle if thread.used_at > oldest]
        for thread in old:
            thread.end()
        if self._idle:
            self._sweep = asyncio.get_running_loop().call_later(KEPT_S, self._end_old)


class ThreadHandler(ASGIHandler):
    """Answers HTTP. How many at once is for whoever calls it: there is a thread for each."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = Threads()

    def load_middleware(self, is_async: bool = False) -> None:
        """Without the coroutines that Django would put around each of them."""
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, unless the client leaves before its body is here."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        caller.current.set(caller.Caller(asyncio.get_running_loop(), receive))
        async with self.threads.one() as thread:
            response = await thread.run(self._answer, scope, body, thread)
            if not response.streaming:
                await self.send_response(response, send)
                return
            try:
                await self._send_stream(response, receive, send)
            finally:
                await thread.run(response.close)

    def _answer(self, scope: Any, body: Any, thread: Thread) -> Any:
        """In the thread. What is whole is closed here, with all that belongs to its request."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        response: Any
        request, response = self.create_request(scope, body)
        if request is not None:
            request.in_its_thread = thread.run  # type: ignore[attr-defined]  # for `core.lib.downloads`
            response = self.get_response(request)
        response._resource_closers.append(body.close)
        response._handler_class = type(self)
        if not response.streaming:
            response.close()
        elif not response.is_async:  # a static file
            response.block_size = self.chunk_size
            response.streaming_content = downloads.in_thread(thread.run, iter(response.streaming_content))
        return response

    async def _send_stream(self, response: Any, receive: Any, send: Any) -> None:
        """Until it ends or the client leaves."""
        with suppress(bodies.Gone):
            await bodies.unless_left(self.send_response(response, send), receive)
