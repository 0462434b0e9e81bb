"""Bodies of requests are taken in whole, bounded, before a page's place is taken."""

import asyncio
from collections import Counter
from typing import Any

import orjson
import pytest

from console import asgi
from console.asgi import Console
from core.lib import bodies


class Sender:
    """A client: its messages one after another, and what it was answered."""

    def __init__(self, *messages: dict[str, Any], headers: tuple = ()) -> None:
        self.scope = {"type": "http", "method": "POST", "path": "/csp-report", "headers": list(headers)}
        self.messages = list(messages)
        self.answers: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return self.messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.answers.append(message)


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Pages:
    """Stands in for Django; notes what it received."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        self.bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})


class NoPredictions:
    def matches(self, _scope: Any) -> bool:
        return False


def ask(sender: Sender, pages: Pages) -> None:
    console = Console(predict=NoPredictions(), inference=NoPredictions(), django=pages, live=None)
    asyncio.run(console(sender.scope, sender.receive, sender.send))


def test_a_body_in_parts_arrives_whole():
    pages, sender = Pages(), Sender(part(b"one ", more=True), part(b"two"))
    ask(sender, pages)
    assert pages.bodies == [b"one two"]
    assert sender.answers[0]["status"] == 204


@pytest.mark.parametrize(
    "sender",
    [
        Sender(headers=((b"content-length", b"2097153"),)),
        Sender(*[part(b"x" * 2**20, more=True)] * 3),
    ],
    ids=["announced", "counted"],
)
def test_too_long_a_body_is_refused_before_django_stores_it(sender):
    pages = Pages()
    ask(sender, pages)
    assert pages.bodies == []
    assert sender.answers[0]["status"] == 413
    assert orjson.loads(sender.answers[1]["body"])["status"] == 413


def test_a_sender_who_hangs_up_is_no_request():
    pages, sender = Pages(), Sender(part(b"one", more=True), {"type": "http.disconnect"})
    ask(sender, pages)
    assert (pages.bodies, sender.answers) == ([], [])


def test_slow_senders_keep_no_place_from_others():
    async def scene() -> list[bytes]:
        pages = Pages()
        console = Console(predict=NoPredictions(), inference=NoPredictions(), django=pages, live=None)
        never = asyncio.Event()

        async def wait() -> dict[str, Any]:
            await never.wait()
            return part(b"")

        slow = Sender()
        waiting = [asyncio.create_task(console(slow.scope, wait, slow.send)) for _n in range(60)]
        quick = Sender(part(b"quick"))
        await asyncio.wait_for(console(quick.scope, quick.receive, quick.send), 5)
        for task in waiting:
            task.cancel()
        return pages.bodies

    assert asyncio.run(scene()) == [b"quick"]


def test_the_limit_leaves_room_for_djangos_own(settings):
    assert asgi.MOST_BYTES > settings.DATA_UPLOAD_MAX_MEMORY_SIZE


class Slow(Sender):
    """Says no more once its messages are sent."""

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            await asyncio.sleep(60)
        return await super().receive()


def test_a_body_that_does_not_end_is_answered_in_time(monkeypatch):
    monkeypatch.setattr(bodies, "LONGEST_S", 0.1)
    pages, sender = Pages(), Slow(part(b"one ", more=True))
    ask(sender, pages)
    assert pages.bodies == []
    assert [answer.get("status") for answer in sender.answers] == [408, None]
    assert "did not arrive within" in orjson.loads(sender.answers[1]["body"])["detail"]


async def test_a_call_that_is_cancelled_is_not_told_that_it_was_slow():
    pages, sender = Pages(), Slow(part(b"one ", more=True))
    console = Console(predict=NoPredictions(), inference=NoPredictions(), django=pages, live=None)
    call = asyncio.create_task(console(sender.scope, sender.receive, sender.send))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (pages.bodies, sender.answers, console._room._n_bytes) == ([], [], 0)


async def test_what_all_send_at_once_is_bounded_and_given_back(monkeypatch):
    monkeypatch.setattr(bodies, "LONGEST_S", 0.3)
    monkeypatch.setattr(asgi, "MOST_HELD_BYTES", 100)
    pages = Pages()
    console = Console(predict=NoPredictions(), inference=NoPredictions(), django=pages, live=None)

    async def answered(sender: Sender) -> int:
        await console(sender.scope, sender.receive, sender.send)
        return sender.answers[0]["status"]

    slow = asyncio.create_task(answered(Slow(part(b"x" * 90, more=True))))
    await asyncio.sleep(0.05)
    full = Sender(part(b"y" * 11))
    assert await answered(full) == 503
    assert (b"retry-after", b"5") in full.answers[0]["headers"]
    assert await answered(Sender(part(b"y" * 10))) == 204
    assert await answered(Sender(part(b""))) == 204, "what sends nothing has room always"
    assert await slow == 408
    assert await answered(Sender(part(b"y" * 100))) == 204


class Held:
    """Stands in for Django, which answers nobody until it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})


async def test_reports_take_few_places_and_none_of_pages():
    """Anybody may ask for them, and each takes a thread with a connection to PostgreSQL."""
    django = Held()
    console = Console(predict=NoPredictions(), inference=NoPredictions(), django=django, live=None)
    paths = [*["/metrics"] * 300, *["/readyz"] * 300, "/livez", "/sign-in"]
    senders = [Sender(part(b"")) for _path in paths]
    async with asyncio.TaskGroup() as calls:
        for path, sender in zip(paths, senders, strict=True):
            sender.scope["path"] = path
            calls.create_task(console(sender.scope, sender.receive, sender.send))
        for _turn in range(20):
            await asyncio.sleep(0)
        most = asgi.MOST_OF_A_REPORT
        assert Counter(django.asked) == {"/metrics": most, "/readyz": most, "/livez": 1, "/sign-in": 1}
        django.may_answer.set()
    assert Counter(django.asked) == Counter(paths)
