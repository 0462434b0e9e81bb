"""Django under ASGI, each request in one thread that stays, with its connections to PostgreSQL.

Every view and middleware of the console is synchronous. Django's own handler would make a thread for each
request, sign in to PostgreSQL for it anew, and go back to the event loop between middleware and view: most of
the time of a small page.
"""

import asyncio
import contextvars
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

# A connection in use; one that the server has ended meanwhile is found out before it is used.
KEPT_S = 60

T = TypeVar("T")


class Thread:
    """Does one thing after the other."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "django", initializer=_keep_connections)
        self._context = contextvars.copy_context()
        self.last: Future[Any] | None = None

    def begin(self) -> None:
        """What an earlier request said of its reader's language and time zone is no longer so."""
        self._context = contextvars.copy_context()

    async def run(self, what: Callable[..., T], *given: Any) -> T:
        """What it returns or raises; it goes on to its end though nobody waits any more."""
        self.last = self._executor.submit(self._context.run, what, *given)
        return await asyncio.wrap_future(self.last)


def _keep_connections() -> None:
    for mine in connections.all():
        mine.settings_dict = {**mine.settings_dict, "CONN_MAX_AGE": KEPT_S, "CONN_HEALTH_CHECKS": True}


class ThreadHandler(ASGIHandler):
    """Answers HTTP. How many at once is for whoever calls it: there is a thread for each."""

    def __init__(self) -> None:
        super().__init__()
        self._idle: list[Thread] = []

    def load_middleware(self, is_async: bool = False) -> None:
        """Without the coroutines that Django would put around each of them."""
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, unless the client leaves before its body is here."""
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        async with self._thread() as thread:
            response = await thread.run(self._answer, scope, body, thread)
            if not response.streaming:
                await self.send_response(response, send)
                return
            try:
                await self._send_stream(response, receive, send)
            finally:
                await thread.run(response.close)

    @asynccontextmanager
    async def _thread(self) -> AsyncIterator[Thread]:
        """The one that was used last: the others' connections to the database may grow old."""
        thread = self._idle.pop() if self._idle else Thread()
        thread.begin()
        try:
            yield thread
        finally:
            if thread.last is None or thread.last.done():
                self._idle.append(thread)
            else:  # nobody waits for its work any more
                loop = asyncio.get_running_loop()
                again = partial(loop.call_soon_threadsafe, self._idle.append, thread)
                thread.last.add_done_callback(lambda _work: again())

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
        return response

    async def _send_stream(self, response: Any, receive: Any, send: Any) -> None:
        """Until it ends or the client leaves."""
        sending = asyncio.create_task(self.send_response(response, send))
        leaving = asyncio.create_task(self._hung_up(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, leaving):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _hung_up(self, receive: Any) -> None:
        with suppress(RequestAborted):
            await self.listen_for_disconnect(receive)
