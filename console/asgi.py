"""The web process: the predict path first, then Django for pages and REST; websockets for live pages.

`predictions.serving.predict_app` decides by the request's head alone whether a call is its own, so that a
prediction passes neither Django nor the database.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup(set_prefix=False)  # before whatever needs its apps

from channels.sessions import CookieMiddleware  # noqa: E402

from console.consumers import LiveConsumer  # noqa: E402
from console.handler import ThreadHandler  # noqa: E402
from console.origins import SameOrigin  # noqa: E402
from console.uploads import Uploads  # noqa: E402
from console.waiting import Waiting, wanted_s  # noqa: E402
from core.lib import addresses, bodies, collector, sockets  # noqa: E402
from core.lib.bodies import Receive, Scope, Send  # noqa: E402
from predictions.serving import inference_app, predict_app  # noqa: E402

# Each request that Django answers holds a thread and a connection to PostgreSQL: the rest waits its turn.
MOST_AT_ONCE = 40
# Django itself refuses more than 1 MiB with a page of its own; beyond this nobody listens any more.
MOST_BYTES = 2 * 1024 * 1024
# Of all requests that nobody has answered yet: whoever sends them need not sign in.
MOST_HELD_BYTES = 128 * MOST_BYTES
LIVE = "/ws/live"
PROBES = {"/livez", "/v2/health/live", "/v2/health/ready"}
# These ask rows and services for whoever calls: in places of their own, so few that pages lack no connection.
REPORTS = {"/readyz", "/metrics"}
MOST_OF_A_REPORT = 4


class Console:
    """One ASGI application of four."""

    def __init__(self, *, predict: Any, inference: Any, django: Any, live: Any) -> None:
        self.predict = predict
        self.inference = inference
        self.django = django
        self.live = live
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._report_places = {path: asyncio.Semaphore(MOST_OF_A_REPORT) for path in REPORTS}
        self._waiting = Waiting(self._in_place)
        self._room = bodies.Room(MOST_HELD_BYTES)
        self._uploads = Uploads()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the connection to whose it is."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        scope = addresses.without_claims(scope)
        match scope["type"]:
            case "websocket" if scope["path"] != LIVE:
                await sockets.refuse(scope, receive, send)
            case "websocket":
                await self.live(scope, receive, send)
            case "http" if self.predict.matches(scope):
                await self.predict(scope, receive, send)
            case "http" if self.inference.matches(scope):
                await self.inference(scope, receive, send)
            case "http" if self._uploads.is_one(scope) and await self._uploads.is_allowed(scope):
                await self._upload(scope, receive, send)
            case _:
                await self._page(scope, receive, send)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._room.share() as share:
            try:
                body = await share.read(dict(scope["headers"]), receive, most_bytes=MOST_BYTES)
            except bodies.Refused as why:
                await bodies.refuse(send, why)
            except bodies.Gone:
                return
            else:
                await self._answer(scope, body, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._uploads.taken(scope, receive) as (whole, kept):
                await self._in_place(whole, kept, send)
        except bodies.Refused as why:
            await bodies.refuse(send, why)
        except bodies.Gone:
            return

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        if wanted_s(scope):
            await self._waiting(scope, body, receive, send)
            return
        receive = bodies.again(body, receive)
        if scope["path"] in PROBES:  # a busy process is alive
            await self.django(scope, receive, send)
            return
        await self._in_place(scope, receive, send)

    async def _in_place(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._report_places.get(scope["path"], self._places):
            await self.django(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.predict.startup()
        collector.spare_what_stays()
        await send({"type": "lifespan.startup.complete"})
        with _at_a_signal(self._waiting.stop):
            await receive()
        await self.predict.shutdown()
        await self.inference.shutdown()
        await send({"type": "lifespan.shutdown.complete"})


@contextlib.contextmanager
def _at_a_signal(call: Callable[[], None]) -> Iterator[None]:
    """Call it when the process is told to go: the server says so only once it has waited for all calls."""
    if threading.current_thread() is not threading.main_thread():  # no signal comes here
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def goes(number: int, frame: Any) -> None:
        loop.call_soon_threadsafe(call)
        servers: Any = before[signal.Signals(number)]
        servers(number, frame)

    # Only what the server handles itself: otherwise a signal ends the process, as it should.
    handled = [number for number, server in before.items() if callable(server)]
    for number in handled:
        signal.signal(number, goes)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])


_live = SameOrigin(CookieMiddleware(LiveConsumer.as_asgi()))
_predict = predict_app()
application = Console(predict=_predict, inference=inference_app(_predict), django=ThreadHandler(), live=_live)
