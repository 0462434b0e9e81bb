"""`?wait=`: the answer comes with the end of the run, and nobody holds a place of Django's meanwhile."""

import asyncio
import itertools
import json
import os
import signal
import time
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from console import waiting
from console.asgi import Console
from core.lib import live

PATH = "/api/v1/pipelines/etl/runs"


class Runs:
    """Stands in for Django: one run, whose state tests change; notes what it was asked."""

    def __init__(self, state: str = "running") -> None:
        self.state = state
        self.status = 200
        self.looked_at: list[float] = []
        self.asked: list[str] = []
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        self.asked.append(f"{scope['method']} {scope['path']}")
        self.headers = dict(scope["headers"])
        self.looked_at.append(time.monotonic())
        status = 202 if scope["method"] == "POST" else self.status
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        found = {"id": 7, "state": self.state} if status < 300 else {"status": status, "title": "No."}
        await send({"type": "http.response.body", "body": json.dumps(found).encode()})


class NoPredictions:
    def matches(self, _scope: Any) -> bool:
        return False

    async def startup(self) -> None:
        pass

    async def shutdown(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _looks_may_follow_at_once(monkeypatch):
    monkeypatch.setattr(waiting, "LEAST_APART_S", 0.0)


@pytest.fixture
def layer(monkeypatch):
    found = InMemoryChannelLayer()
    monkeypatch.setattr(waiting, "get_channel_layer", lambda: found)
    return found


class Caller:
    """One request, and what it was answered."""

    def __init__(self, query: str, *, method: str = "POST", path: str = PATH, token: bytes = b"x") -> None:
        headers = [(b"authorization", b"Bearer " + token), (b"idempotency-key", b"k")]
        headers.append((b"accept-encoding", b"gzip"))
        self.scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
        self.scope |= {"headers": headers, "client": ("127.0.0.1", 1)}
        self.status, self.body, self.answer_headers = 0, b"", {}
        self.hangs_up = asyncio.Event()
        self._is_sent = False

    async def receive(self) -> dict[str, Any]:
        if not self._is_sent:
            self._is_sent = True
            return {"type": "http.request", "body": b"{}", "more_body": False}
        await self.hangs_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.answer_headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]


def console(runs: Runs) -> Console:
    return Console(predict=NoPredictions(), inference=NoPredictions(), django=runs, live=None)


async def ends(runs: Runs, layer: InMemoryChannelLayer, asked: int) -> None:
    """The run ends once it has been looked at so often, and its page is told."""
    while len(runs.asked) < asked:
        await asyncio.sleep(0.01)
    runs.state = "success"
    await layer.group_send(live.group_name("run:7"), {"type": "live.message", "body": {}})


def test_the_answer_comes_with_the_end(layer):
    runs, caller = Runs(), Caller("wait=60")

    async def both() -> None:
        await asyncio.gather(
            console(runs)(caller.scope, caller.receive, caller.send), ends(runs, layer, asked=2)
        )

    began = time.monotonic()
    asyncio.run(both())
    assert (caller.status, json.loads(caller.body)["state"]) == (200, "success")
    assert runs.asked == [f"POST {PATH}", "GET /api/v1/runs/7", "GET /api/v1/runs/7"]
    assert runs.headers == {b"authorization": b"Bearer x"}
    assert time.monotonic() - began < 5


def test_when_the_time_is_over_it_tells_how_the_run_stands(layer):
    runs, caller = Runs(), Caller("wait=1", method="GET", path="/api/v1/runs/7")
    asyncio.run(console(runs)(caller.scope, caller.receive, caller.send))
    assert (caller.status, json.loads(caller.body)["state"]) == (202, "running")
    assert len(runs.asked) == 2 + 1  # at first, once it listens, and at the end


@pytest.mark.parametrize("query", ["", "wait=0", "wait=301", "wait=soon", "wait=-5"])
def test_without_a_sound_wait_django_answers_at_once(layer, query):
    runs, caller = Runs(), Caller(query)
    asyncio.run(console(runs)(caller.scope, caller.receive, caller.send))
    assert (caller.status, runs.asked) == (202, [f"POST {PATH}"])


def test_a_run_that_has_ended_already_is_answered_at_once(layer):
    runs, caller = Runs("success"), Caller("wait=60")
    asyncio.run(console(runs)(caller.scope, caller.receive, caller.send))
    assert (caller.status, len(runs.asked)) == (200, 1)


def test_what_is_no_run_is_answered_as_it_is(layer):
    runs, caller = Runs(), Caller("wait=60", method="GET", path="/api/v1/runs/7")
    runs.status = 404
    asyncio.run(console(runs)(caller.scope, caller.receive, caller.send))
    assert (caller.status, len(runs.asked)) == (404, 1)


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_who_may_start_a_run_and_not_look_at_it_is_told_that_it_was_started(layer, status):
    runs, caller = Runs(), Caller("wait=60")
    runs.status = status
    asyncio.run(console(runs)(caller.scope, caller.receive, caller.send))
    assert (caller.status, json.loads(caller.body)["id"], len(runs.asked)) == (202, 7, 2)


def test_a_lost_message_only_delays_it(layer, monkeypatch):
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.05)
    runs, caller = Runs(), Caller("wait=60")

    async def in_silence() -> None:
        while len(runs.asked) < 3:
            await asyncio.sleep(0.01)
        runs.state = "failed"

    async def both() -> None:
        await asyncio.gather(console(runs)(caller.scope, caller.receive, caller.send), in_silence())

    asyncio.run(both())
    assert (caller.status, json.loads(caller.body)["state"]) == (200, "failed")


def test_without_redis_a_run_that_was_started_is_looked_at_and_answered(layer, monkeypatch):
    async def away() -> str:
        raise ConnectionError("Error 111 connecting to redis. Connection refused.")

    monkeypatch.setattr(layer, "new_channel", away)
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.05)
    runs, caller = Runs(), Caller("wait=60")

    async def in_silence() -> None:
        while len(runs.asked) < 3:
            await asyncio.sleep(0.01)
        runs.state = "success"

    async def both() -> None:
        await asyncio.gather(console(runs)(caller.scope, caller.receive, caller.send), in_silence())

    asyncio.run(both())
    assert (caller.status, json.loads(caller.body)["state"]) == (200, "success")
    assert runs.asked.count(f"POST {PATH}") == 1


def test_those_beyond_the_bound_get_the_first_answer(layer, monkeypatch):
    monkeypatch.setattr(waiting, "MOST_AT_ONCE", 1)
    runs, first, second = Runs(), Caller("wait=60"), Caller("wait=60")
    app = console(runs)

    async def both() -> None:
        held = asyncio.create_task(app(first.scope, first.receive, first.send))
        while len(runs.asked) < 2:
            await asyncio.sleep(0.01)
        await app(second.scope, second.receive, second.send)
        await asyncio.gather(held, ends(runs, layer, asked=2))

    asyncio.run(both())
    assert (second.status, second.answer_headers[b"retry-after"]) == (202, b"5")
    assert first.status == 200


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_one_caller_has_so_many_places_and_is_told_how_the_run_stands(layer, monkeypatch, method):
    monkeypatch.setattr(waiting, "MOST_OF_ONE", 1)
    runs, first, other = Runs(), Caller("wait=60"), Caller("wait=60", token=b"y")
    second = Caller("wait=60", method=method, path=PATH if method == "POST" else "/api/v1/runs/7")
    app = console(runs)

    async def both() -> None:
        held = asyncio.create_task(app(first.scope, first.receive, first.send))
        while len(runs.asked) < 2:
            await asyncio.sleep(0.01)
        await app(second.scope, second.receive, second.send)
        third = asyncio.create_task(app(other.scope, other.receive, other.send))
        await asyncio.gather(held, third, ends(runs, layer, asked=5))

    asyncio.run(both())
    assert (second.status, second.answer_headers[b"retry-after"]) == (202, b"5")
    assert (first.status, other.status) == (200, 200)


def test_looks_are_some_time_apart_whatever_is_said(layer, monkeypatch):
    monkeypatch.setattr(waiting, "LEAST_APART_S", 0.2)
    runs, caller = Runs(), Caller("wait=1", method="GET", path="/api/v1/runs/7")

    async def much_is_said() -> None:
        while not caller.status:
            await layer.group_send(live.group_name("run:7"), {"type": "live.message", "body": {}})
            await asyncio.sleep(0.01)

    async def both() -> None:
        await asyncio.gather(console(runs)(caller.scope, caller.receive, caller.send), much_is_said())

    asyncio.run(both())
    looks = runs.looked_at[1:-1]  # the last is at the end of the time
    assert 2 <= len(looks) <= 6
    assert all(later - earlier >= 0.2 for earlier, later in itertools.pairwise(looks))


def test_when_the_process_goes_all_are_told_how_the_run_stands(layer):
    runs, caller, told = Runs(), Caller("wait=300"), []
    app = console(runs)

    async def goes() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        messages.put_nowait({"type": "lifespan.startup"})
        living = asyncio.create_task(app({"type": "lifespan"}, messages.get, _nowhere))
        asking = asyncio.create_task(app(caller.scope, caller.receive, caller.send))
        while len(runs.asked) < 2:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(asking, 5)
        messages.put_nowait({"type": "lifespan.shutdown"})
        await living

    before = signal.signal(signal.SIGTERM, lambda *_args: told.append("server"))
    try:
        asyncio.run(goes())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (caller.status, json.loads(caller.body)["state"], told) == (202, "running", ["server"])


async def _nowhere(_message: dict[str, Any]) -> None:
    pass


def test_who_hangs_up_waits_no_more(layer):
    runs, caller = Runs(), Caller("wait=300")

    async def both() -> None:
        asking = asyncio.create_task(console(runs)(caller.scope, caller.receive, caller.send))
        while len(runs.asked) < 2:
            await asyncio.sleep(0.01)
        caller.hangs_up.set()
        await asyncio.wait_for(asking, 5)

    asyncio.run(both())
    assert len(runs.asked) <= 3


def test_three_hundred_who_wait_hold_no_place(layer, monkeypatch):
    monkeypatch.setattr(waiting, "MOST_AT_ONCE", 300)
    monkeypatch.setattr(waiting, "MOST_OF_ONE", 300)
    runs, callers = Runs(), [Caller("wait=60") for _ in range(300)]
    app = console(runs)

    async def all_at_once() -> None:
        asking = [asyncio.create_task(app(one.scope, one.receive, one.send)) for one in callers]
        while len(runs.asked) < 600:
            await asyncio.sleep(0.01)
        page = Caller("", method="GET", path="/")
        await asyncio.wait_for(app(page.scope, page.receive, page.send), 5)
        await asyncio.gather(*asking, ends(runs, layer, asked=601))

    asyncio.run(all_at_once())
    assert {one.status for one in callers} == {200}


def test_a_database_that_is_away_for_a_moment_ends_no_wait(layer, monkeypatch):
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.05)
    runs, caller = Runs(), Caller("wait=60")
    runs.status = 503

    async def back() -> None:
        while len(runs.asked) < 3:
            await asyncio.sleep(0.01)
        runs.status, runs.state = 200, "success"

    async def both() -> None:
        await asyncio.gather(console(runs)(caller.scope, caller.receive, caller.send), back())

    asyncio.run(both())
    assert caller.status == 200
