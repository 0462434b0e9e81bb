"""Large bodies are taken in only from who may send files, on disk, a few at once and in time."""

import asyncio
from typing import Any

import pytest

from console import uploads
from console.asgi import Console
from tests.unit.console.test_bodies import NoPredictions, Sender, part

MIB = 2**20
PATH = "/api/v1/models/titanic/batches"


class Pages:
    """Stands in for Django; notes how many bytes it received."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.lengths: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        n_bytes, has_more = 0, True
        while has_more:
            message = await receive()
            n_bytes += len(message["body"])
            has_more = message["more_body"]
        self.received.append(n_bytes)
        await send({"type": "http.response.start", "status": 202, "headers": []})


@pytest.fixture
def pages(settings, tmp_path, monkeypatch) -> Pages:
    """Everybody may send files, of 5 MiB."""
    settings.CONSOLE_VAR_DIR = tmp_path
    settings.CONSOLE_BATCHES_MAX_MIB = 5
    monkeypatch.setattr(uploads, "_may", lambda session, authorization: True)
    return Pages()


def file_of(n_mib: int, path: str = PATH, headers: tuple = ()) -> Sender:
    sender = Sender(*[part(b"x" * MIB, more=True)] * n_mib, part(b""), headers=headers)
    sender.scope["path"] = path
    return sender


def ask(sender: Sender, pages: Pages) -> int | None:
    console = Console(predict=NoPredictions(), inference=NoPredictions(), django=pages, live=None)
    asyncio.run(console(sender.scope, sender.receive, sender.send))
    return sender.answers[0]["status"] if sender.answers else None


@pytest.mark.parametrize("path", [PATH, "/predict/titanic/files"])
def test_a_file_arrives_whole(pages, path):
    assert ask(file_of(5, path), pages) == 202
    assert pages.received == [5 * MIB]


@pytest.mark.parametrize("n", [0, 1, uploads.PIECE_BYTES - 1, uploads.PIECE_BYTES, uploads.PIECE_BYTES + 1])
def test_every_byte_arrives(pages, n):
    sender = Sender(part(b"x" * n))
    sender.scope["path"] = PATH
    assert ask(sender, pages) == 202
    assert pages.received == [n]


@pytest.mark.parametrize("headers", [(), ((b"content-length", b"2097152"),)], ids=["in chunks", "announced"])
def test_django_is_told_how_long_a_file_is(pages, headers):
    assert ask(file_of(2, headers=headers), pages) == 202
    assert pages.lengths == [b"2097152"]


@pytest.mark.parametrize(
    "sender",
    [file_of(6), file_of(0, headers=((b"content-length", b"6000000"),))],
    ids=["counted", "announced"],
)
def test_a_file_that_is_too_large_is_not_taken_in(pages, sender):
    assert ask(sender, pages) == 413
    assert pages.received == []


def test_other_addresses_take_no_more_than_before(pages):
    assert ask(file_of(3, "/predict/titanic"), pages) == 413


def test_who_may_not_meets_the_bound_of_all_others(pages, monkeypatch):
    monkeypatch.setattr(uploads, "_may", lambda session, authorization: False)
    assert ask(file_of(3), pages) == 413
    assert pages.received == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("roles", "status"), [(("predictor",), 202), (("viewer",), 413), ((), 413)])
def test_who_may_is_found_by_the_token(settings, tmp_path, roles, status):
    from tests.people import make_token, make_user

    settings.CONSOLE_VAR_DIR = tmp_path
    _token, key = make_token(make_user("ana", *roles), "predict")
    found = Pages()
    sender = file_of(3, headers=((b"authorization", f"Bearer {key}".encode()),))
    assert ask(sender, found) == status


def test_a_sender_who_hangs_up_is_no_request(pages):
    sender = Sender(part(b"one", more=True), {"type": "http.disconnect"})
    sender.scope["path"] = PATH
    assert ask(sender, pages) is None
    assert pages.received == []


def test_a_file_that_does_not_end_is_answered_in_time(pages, monkeypatch):
    monkeypatch.setattr(uploads, "LONGEST_S", 0.1)
    sender = file_of(1)
    sender.messages.pop()

    async def receive() -> dict[str, Any]:
        if not sender.messages:
            await asyncio.sleep(60)
        return sender.messages.pop(0)

    sender.receive = receive
    assert ask(sender, pages) == 408


async def test_a_few_come_in_at_once_and_the_others_are_told(pages, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_AT_ONCE", 1)
    console = Console(predict=NoPredictions(), inference=NoPredictions(), django=pages, live=None)
    never = asyncio.Event()

    async def wait() -> dict[str, Any]:
        await never.wait()
        return part(b"")

    slow, second, third = file_of(0), file_of(1), file_of(1)
    waiting = asyncio.create_task(console(slow.scope, wait, slow.send))
    await asyncio.sleep(0.05)
    await console(second.scope, second.receive, second.send)
    assert second.answers[0]["status"] == 503
    assert (b"retry-after", b"5") in second.answers[0]["headers"]
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await console(third.scope, third.receive, third.send)
    assert third.answers[0]["status"] == 202
