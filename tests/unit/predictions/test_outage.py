"""Records while Kafka is away: minutes of it, on a clock that the test turns."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from predictions.serving import deliveries
from predictions.serving.deliveries import Deliveries, Fate
from tests.unit.predictions.conftest import FakeBroker

MOST_IN_FLIGHT = 400
STEP_S = 0.5


class AwayBroker(FakeBroker):
    """Reports failures when librdkafka's time for a message is over, until it is back; then all arrive."""

    def __init__(self, clock: SimpleNamespace) -> None:
        super().__init__()
        self._clock = clock
        self._held: list[tuple[float, Any]] = []
        self.is_away = True

    def produce(self, topic: str, value: bytes, *, on_delivery: Any) -> None:
        self.messages.append(value)
        self._held.append((self._clock.now, on_delivery))

    def poll(self, _timeout_s: float) -> int:
        latest = self._clock.now - deliveries.DELIVERY_TIMEOUT_S if self.is_away else self._clock.now
        ended = [report for sent_at, report in self._held if sent_at <= latest]
        self._held = [one for one in self._held if one[0] > latest]
        for report in ended:
            report(KafkaError(KafkaError._MSG_TIMED_OUT) if self.is_away else None, None)
        return len(ended)


class ClockedLoop(asyncio.SelectorEventLoop):
    clock: SimpleNamespace

    def time(self) -> float:
        return self.clock.now


class Outage:
    """Deliveries without their thread: the test turns the clock, and hears."""

    def __init__(self, clock: SimpleNamespace) -> None:
        self.clock = clock
        self.broker = AwayBroker(clock)
        self.deliveries = Deliveries("predictions", lambda: self.broker)
        self.deliveries._producer = self.broker
        self.calls: dict[asyncio.Future[Fate], float] = {}
        self.waits: list[float] = []
        self.most_waiting = 0

    def send(self, *records: bytes) -> asyncio.Future[Fate]:
        future = self.deliveries.send(records)
        self.calls[future] = self.clock.now
        future.add_done_callback(lambda done: self.waits.append(self.clock.now - self.calls.pop(done)))
        return future

    async def hear(self, time_s: float, *, asked: bool = False) -> None:
        """So much time passes. asked: whoever has had an answer calls again."""
        for _ in range(round(time_s / STEP_S)):
            while asked and len(self.calls) < MOST_IN_FLIGHT:
                self.send(b"old")
            await turn()
            self.most_waiting = max(self.most_waiting, len(self.deliveries._waiting))
            self.clock.now += STEP_S
            self.broker.poll(0)
            self.deliveries._end_round()
            await turn()

    def run(self, scenario: Any) -> None:
        with asyncio.Runner(loop_factory=ClockedLoop) as runner:
            runner.run(scenario)


async def turn() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


@pytest.fixture
def outage(monkeypatch) -> Iterator[Outage]:
    clock = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(deliveries, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(ClockedLoop, "clock", clock, raising=False)
    return Outage(clock)


def test_minutes_without_kafka_hold_no_more_than_is_in_flight(outage):
    outage.run(outage.hear(300, asked=True))
    assert len(outage.waits) > 20_000
    assert outage.most_waiting <= MOST_IN_FLIGHT


def test_queued_calls_fail_as_soon_as_librdkafka_would_have_given_them_up(outage):
    async def calls() -> None:
        sent = [outage.send(b"sent") for _ in range(deliveries.MOST_RECORDS)]
        await turn()
        sent += [outage.send(b"sent")]
        await turn()
        queued = [outage.send(b"queued") for _ in range(1000)]
        await outage.hear(deliveries.DELIVERY_TIMEOUT_S - STEP_S)
        assert not any(future.done() for future in sent + queued)
        await outage.hear(STEP_S)
        assert {future.result() for future in sent} == {Fate.NOT_CONFIRMED}
        assert {future.result() for future in queued} == {Fate.NEVER_SENT}

    outage.run(calls())
    assert b"queued" not in b"".join(outage.broker.messages)
    assert not outage.deliveries._waiting


def test_after_an_outage_new_calls_go_first_and_in_order(outage):
    async def calls() -> None:
        await outage.hear(60, asked=True)
        await outage.hear(2 * deliveries.DELIVERY_TIMEOUT_S)
        assert not outage.calls
        n_before = len(outage.broker.messages)
        outage.broker.is_away = False
        new = [outage.send(b"%d" % number) for number in range(250)]
        await outage.hear(3 * STEP_S)
        assert {future.result() for future in new} == {Fate.SAFE}
        records = b"\n".join(outage.broker.messages[n_before:]).split(b"\n")
        assert records == [b"%d" % number for number in range(250)]

    outage.run(calls())


def test_calls_that_still_wait_when_kafka_is_back_are_safe(outage):
    async def calls() -> None:
        await outage.hear(7, asked=True)
        late = outage.send(b"late")
        outage.broker.is_away = False
        await outage.hear(5)
        assert late.result() is Fate.SAFE
        assert not outage.calls

    outage.run(calls())


def test_an_outage_is_one_line_a_minute(outage):
    with capture_logs() as lines:
        outage.run(outage.hear(300, asked=True))
    lines = [line for line in lines if line["event"] != "kafka.unreachable"]  # of other tests' producers
    assert {line["event"] for line in lines} == {"predictions.records_given_up"}
    assert len(lines) == 5
    assert sum(line["n_not_sent"] for line in lines) > 9_000


def test_a_large_call_of_which_a_part_was_sent_fails_and_leaves_nothing(outage):
    async def call() -> None:
        future = outage.send(*[b"x"] * 1000)
        await outage.hear(deliveries.DELIVERY_TIMEOUT_S)
        assert future.result() is Fate.NOT_CONFIRMED
        assert not outage.deliveries._waiting
        await outage.hear(10)
        assert len(outage.broker.messages) == deliveries.MOST_UNDER_WAY

    outage.run(call())


def test_calls_of_a_loop_that_has_ended_leave_too(outage):
    async def leave() -> None:
        for _ in range(5):
            outage.send(b"gone")
            await turn()

    async def stay() -> None:
        await outage.hear(deliveries.DELIVERY_TIMEOUT_S)

    outage.run(leave())
    assert len(outage.deliveries._waiting) == 3
    outage.run(stay())
    assert not outage.deliveries._waiting
    assert outage.broker.messages == [b"gone", b"gone"]


@pytest.mark.parametrize(
    ("bound", "most", "n_fit"), [("MOST_WAITING_RECORDS", 30, 30), ("MOST_WAITING_BYTES", 100, 10)]
)
def test_what_finds_no_room_fails_at_once(outage, monkeypatch, bound, most, n_fit):
    monkeypatch.setattr(deliveries, bound, most)

    async def calls() -> None:
        for _ in range(deliveries.MOST_UNDER_WAY):
            outage.send(b"sent")
            await turn()
        waiting = [outage.send(b"x" * 10) for _ in range(n_fit)]
        refused = outage.send(b"x" * 10)
        assert refused.result() is Fate.NEVER_SENT
        outage.broker.is_away = False
        await outage.hear(2)
        assert {future.result() for future in waiting} == {Fate.SAFE}
        again = outage.send(*[b"x" * 10] * n_fit)  # all the room is there again
        await outage.hear(2)
        assert again.result()

    with capture_logs() as lines:
        outage.run(calls())
    assert [line["n_without_room"] for line in lines] == [1]


def test_room_is_there_again_after_records_were_given_up(outage, monkeypatch):
    monkeypatch.setattr(deliveries, "MOST_WAITING_BYTES", 1000)

    async def calls() -> None:
        for _ in range(deliveries.MOST_UNDER_WAY):
            outage.send(b"sent")
            await turn()
        outage.send(*[b"x" * 100] * 10)
        await outage.hear(deliveries.DELIVERY_TIMEOUT_S)
        assert not outage.send(*[b"x" * 100] * 10).done()

    outage.run(calls())


def test_what_could_not_be_sent_has_failed_at_the_end(outage):
    async def calls() -> None:
        sent = []
        for number in range(4):
            sent.append(outage.send(b"%d" % number))
            await turn()
        outage.broker.poll = lambda _timeout_s: 0
        outage.deliveries._thread = SimpleNamespace(join=lambda _timeout_s: None)
        outage.deliveries.close(0)
        await turn()
        assert [future.done() for future in sent] == [False, False, True, True]
        assert sent[3].result() is Fate.NEVER_SENT

    outage.run(calls())
    assert outage.broker.messages == [b"0", b"1"]
