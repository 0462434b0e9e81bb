"""A serving process in memory: a small model, tokens, and a broker that does as the test says."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson
import pytest
from confluent_kafka import KafkaError, KafkaException

from core.lib import kafka
from predictions import ingestion
from predictions.serving import deliveries
from predictions.serving import service as serving
from predictions.serving.application import PredictApp
from predictions.serving.service import Service
from predictions.serving.standalone import ServingApp
from tests import champions
from tests.champions import KEY, FakeSource
from tests.redis_fixtures import *  # noqa: F403


class FakeBroker:
    """Stands in for librdkafka's producer: it reports within `poll` and `flush`, in the thread that calls.

    fails: acknowledge nothing, report a failure instead. is_silent: report nothing until what is held is
    purged, as after a fatal error. is_fatal: refuse everything from now on, as librdkafka then does. refused:
    a message that is not taken.
    """

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.headers: list[Any] = []
        self.fails = self.is_full = self.is_silent = self.is_fatal = False
        self.refused: bytes | None = None
        self._waiting: list[Callable[[Any, Any], None]] = []
        self._has_news = threading.Condition()

    def produce(
        self, _topic: str, value: bytes, *, on_delivery: Callable[[Any, Any], None], headers: Any = None
    ) -> None:
        if self.is_full or value == self.refused:
            raise BufferError("Local: Queue full")
        if self.is_fatal:
            raise KafkaException(KafkaError(KafkaError._FATAL, "out of order", fatal=True))
        with self._has_news:
            self.messages.append(value)
            self.headers.append(headers)
            self._waiting.append(on_delivery)
            self._has_news.notify_all()

    def poll(self, timeout_s: float) -> int:
        with self._has_news:
            self._has_news.wait_for(lambda: self._waiting and not self.is_silent, timeout_s)
            reports, self._waiting = ([], self._waiting) if self.is_silent else (self._waiting, [])
        for report in reports:
            report(KafkaError(KafkaError._MSG_TIMED_OUT) if self.fails else None, None)
        return len(reports)

    def speak(self) -> None:
        """Report again, what was held too."""
        with self._has_news:
            self.is_silent = False
            self._has_news.notify_all()

    def purge(self) -> None:
        """What is held is reported as failed."""
        self.fails = True
        self.speak()

    def flush(self, _timeout_s: float) -> int:
        self.poll(0)
        return len(self._waiting)

    @property
    def records(self) -> list[dict[str, Any]]:
        """Opened, as the recorder does."""
        lines = (line for message in self.messages for line in kafka.lines(message))
        return [msgspec.to_builtins(ingestion._opened(line)) for line in lines]


@pytest.fixture
def source() -> FakeSource:
    made = FakeSource()
    made.promote("1", champions.packed())
    return made


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def running(source, broker, tmp_path, monkeypatch) -> Iterator[Service]:
    """The process's service, refreshed once; only records have their thread."""
    monkeypatch.setattr(deliveries, "POLL_S", 0.02)  # its thread ends so soon after the test
    made = Service(tmp_path, source, "predictions")
    made.deliveries._make = lambda: broker
    made.writer.start()
    made.refresher.refresh()
    made._is_started = True
    serving.service.cache_clear()
    monkeypatch.setattr(serving, "service", lambda: made)
    yield made
    made.writer.close()


@pytest.fixture
def call(running) -> Iterator[Callable[..., Any]]:
    """POST to the predict application; answers (status, document, headers).

    hangs_up: in mid-body; then nothing is answered, but (0, None, {}) by this function.
    """
    app = PredictApp(running)
    with asyncio.Runner() as runner:

        def post(
            body: bytes | dict,
            *,
            path: str = "titanic/predict",
            key: str | None = champions.KEY,
            hangs_up: bool = False,
            **headers: str,
        ) -> tuple[int, Any, dict[str, str]]:
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            return runner.run(_call(app, path, content, key, headers, hangs_up=hangs_up))

        yield post
        runner.run(app.shutdown())


async def _call(
    app: PredictApp, path: str, content: bytes, key: str | None, headers: dict[str, str], *, hangs_up: bool
):
    sent: list[dict[str, Any]] = []
    parts = [content[at : at + 65_536] for at in range(0, len(content), 65_536)] or [b""]
    if hangs_up:
        parts = [content[: len(content) // 2], b"never"]

    async def receive() -> dict[str, Any]:
        if hangs_up and len(parts) == 1:
            return {"type": "http.disconnect"}
        if not parts:
            await asyncio.Event().wait()  # the caller waits for the answer
        body = parts.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(parts)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if key is not None:
        raw.append((b"authorization", f"Bearer {key}".encode()))
    scope = {"type": "http", "method": "POST", "path": f"/api/v1/models/{path}", "headers": raw}
    await app(scope, receive, send)
    if not sent:
        return 0, None, {}
    answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], orjson.loads(sent[1]["body"]), answered


@pytest.fixture(autouse=True)
def _serving_at_rest() -> None:
    """Here threads may turn: each test that starts one stops it."""


@pytest.fixture
def ask(running):
    """One call to the serving process: status, document, headers."""
    app = ServingApp(running)
    with asyncio.Runner() as runner:

        def asked(method, path, body=b"", *, key=KEY, **headers):
            content = body if isinstance(body, bytes) else orjson.dumps(body)
            raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
            if key is not None:
                raw.append((b"authorization", f"Bearer {key}".encode()))
            sent = []

            async def receive():
                return {"type": "http.request", "body": content, "more_body": False}

            async def send(message):
                sent.append(message)

            scope = {"type": "http", "method": method, "path": path, "headers": raw}
            runner.run(app(scope, receive, send))
            answered = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
            return sent[0]["status"], orjson.loads(sent[1]["body"]), answered

        yield asked
        runner.run(app._inference.shutdown())
