"""`?wait=<seconds>` of a run: the answer comes once the run has ended, or when the time is over.

Who waits does so here, in the event loop. In Django each caller would hold a thread and a connection to
PostgreSQL. The run is looked at again, as the caller and through Django, when its page would hear of news,
and now and then in case a message was lost.
"""

import asyncio
import contextlib
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
from channels.layers import get_channel_layer
from django.conf import settings
from django.http import parse_cookie

from core.lib import live
from core.lib import redis as console_redis
from core.lib.bodies import Receive, Scope, Send
from pipelines.states import ENDED

log = structlog.get_logger(__name__)

MOST_AT_ONCE: Final = 200  # in one process; others get the first answer, and ask again
MOST_OF_ONE: Final = 20  # of those, by one token or session
LONGEST_S: Final = 300
LOOK_EVERY_S: Final = 10.0
LEAST_APART_S: Final = 1.0  # between two looks, and up to twice that: all who wait for a run hear at once
RETRY_AFTER_S: Final = 5

_PATHS: Final = {
    "POST": re.compile(r"/api/v1/pipelines/[^/]+/runs"),
    "GET": re.compile(r"/api/v1/runs/[0-9]+"),
}
# Of the caller's headers those that are about its body; and answers are read here, so plain.
_NOT_PASSED_ON: Final = {b"content-length", b"content-type", b"idempotency-key", b"accept-encoding"}


@dataclass
class Answer:
    """What Django answered, held back."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def take(self, message: dict[str, Any]) -> None:
        """As an application sends."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        else:
            self.body += message.get("body", b"")

    async def send(self, send: Send) -> None:
        """To the caller."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})

    @cached_property
    def run(self) -> dict[str, Any]:
        """The run that it shows, once all of it has come; empty where it is no run."""
        if self.status not in {200, 202}:
            return {}
        found = json.loads(self.body)
        return found if isinstance(found, dict) and {"id", "state"} <= found.keys() else {}

    @property
    def is_under_way(self) -> bool:
        """Whether it shows a run that has not ended."""
        return bool(self.run) and self.run["state"] not in ENDED


def wanted_s(scope: Scope) -> int:
    """How long the caller will wait; 0 for no wait, or none that makes sense: then Django says so."""
    path = _PATHS.get(scope["method"])
    if path is None or not path.fullmatch(scope["path"]):
        return 0
    text = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("wait", [""])[-1]
    return int(text) if re.fullmatch(r"[0-9]{1,3}", text) and int(text) <= LONGEST_S else 0


class Waiting:
    """Callers who wait. `ask` is the application that answers at once."""

    def __init__(self, ask: Any) -> None:
        self._ask = ask
        self._n_of: Counter[bytes] = Counter()  # who wait, by caller
        self._goes = asyncio.Event()

    def stop(self) -> None:
        """The process goes: whoever waits is told how the run stands."""
        self._goes.set()

    async def __call__(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Answer with 200 and the ended run, or 202 and how it stands when the time is over."""
        until = time.monotonic() + wanted_s(scope)
        answer, caller = await self._asked(scope, body), _caller(scope)
        if answer.is_under_way and self._is_full(caller):
            answer.headers.append((b"retry-after", b"%d" % RETRY_AFTER_S))
        elif answer.is_under_way:
            self._n_of[caller] += 1
            try:
                answer = await self._ended(scope, answer, until, receive)
            finally:
                self._n_of[caller] -= 1
                self._n_of += Counter()  # forgets those at nought
        if answer.run:
            answer.status = 202 if answer.is_under_way else 200
        await answer.send(send)

    def _is_full(self, caller: bytes) -> bool:
        return self._n_of.total() >= MOST_AT_ONCE or self._n_of[caller] >= MOST_OF_ONE

    async def _ended(self, scope: Scope, answer: Answer, until: float, receive: Receive) -> Answer:
        run_id = int(answer.run["id"])
        over = [asyncio.create_task(one) for one in (_hung_up(receive), self._goes.wait())]
        try:
            async with _news(f"run:{run_id}") as has_news:
                while True:
                    has_news.clear()
                    looked = await self._asked(_look(scope, run_id), b"")
                    if looked.run:
                        answer = looked
                    elif looked.status < 500:  # who may start a run need not be one who may look at it
                        break
                    if not answer.is_under_way or not await _again(has_news, over, until):
                        break
        finally:
            for task in over:
                task.cancel()
        return answer

    async def _asked(self, scope: Scope, body: bytes) -> Answer:
        answer, is_given = Answer(), False
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]

        async def receive() -> dict[str, Any]:
            nonlocal is_given
            if is_given:
                await asyncio.Event().wait()  # that the caller hangs up is looked for elsewhere
            is_given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._ask({**scope, "headers": plain}, receive, answer.take)
        return answer


def _caller(scope: Scope) -> bytes:
    """Whose call it is: the token, or the session."""
    headers = dict(scope["headers"])
    cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
    return headers.get(b"authorization") or cookies.get(settings.SESSION_COOKIE_NAME, "").encode()


def _look(scope: Scope, run_id: int) -> Scope:
    """The same caller's GET of the run."""
    path = f"/api/v1/runs/{run_id}"
    headers = [(name, value) for name, value in scope["headers"] if name not in _NOT_PASSED_ON]
    as_get = {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    return {**scope, **as_get, "headers": headers}


@contextlib.asynccontextmanager
async def _news(topic: str) -> AsyncIterator[asyncio.Event]:
    """An event that is set whenever something is said of the topic; never while Redis is away."""
    layer: Any = get_channel_layer()
    has_news = asyncio.Event()
    group, channel, listening = live.group_name(topic), None, None
    try:
        channel = await layer.new_channel()
        await layer.group_add(group, channel)
        listening = asyncio.create_task(_listen(layer, channel, has_news))
    except (console_redis.RedisError, OSError) as error:
        log.warning("wait.no_redis", error=str(error))
    try:
        yield has_news
    finally:
        if channel is not None:
            with contextlib.suppress(console_redis.RedisError, OSError):
                await layer.group_discard(group, channel)
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _listen(layer: Any, channel: str, has_news: asyncio.Event) -> None:
    while True:
        await layer.receive(channel)
        has_news.set()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _again(has_news: asyncio.Event, over: Collection[asyncio.Task[Any]], until: float) -> bool:
    """Wait until it is time for the next look; False when there is none, for the time or one of `over`."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        return False
    soonest = time.monotonic() + min(left_s, random.uniform(1, 2) * LEAST_APART_S)  # noqa: S311
    said = asyncio.create_task(has_news.wait())
    try:
        timeout_s = min(left_s, LOOK_EVERY_S)
        await asyncio.wait({said, *over}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        said.cancel()
    rest_s = max(soonest - time.monotonic(), 0)
    done, _pending = await asyncio.wait(over, timeout=rest_s, return_when=asyncio.FIRST_COMPLETED)
    return not done
