"""Records on their way to a broker that is slow, full or gone."""

import asyncio
import threading

import pytest
from confluent_kafka import KafkaException

from predictions.errors import Busy, NotRecorded
from predictions.serving import deliveries
from tests.champions import ROW


def test_a_broker_that_is_gone_gives_503_with_the_ids(call, broker, tmp_path):
    broker.fails = True
    status, problem, headers = call({"rows": [ROW, ROW]})
    assert status == 503
    assert int(headers["retry-after"]) > 0
    assert problem["ids"] == [record["id"] for record in broker.records]
    kept = [path.read_text().split() for path in (tmp_path / "unanswered").glob("*.ids")]
    assert kept == [problem["ids"]]


def test_the_next_call_goes_on_once_the_broker_is_back(call, broker):
    broker.fails = True
    call({"rows": [ROW]})
    broker.fails = False
    assert call({"rows": [ROW]})[0] == 200


def test_a_full_queue_gives_503(call, broker):
    broker.is_full = True
    status, problem, _headers = call({"rows": [ROW]})
    assert status == 503
    assert len(problem["ids"]) == 1


def test_more_than_may_wait_at_once_is_refused_before_it_is_sent(running, broker):
    running.writer._max_in_flight = 3

    async def both():
        first = asyncio.ensure_future(running.writer.write([b"1", b"2"], ["a", "b"]))
        await asyncio.sleep(0)
        with pytest.raises(Busy) as refused:
            await running.writer.write([b"3", b"4"], ["c", "d"])
        await first
        return refused.value

    error = asyncio.run(both())
    assert error.status == 429
    assert error.retry_after_s == 1
    assert broker.messages == [b"1", b"2"]


def test_nothing_stays_in_flight_after_a_failure(running, broker):
    broker.fails = True
    with pytest.raises(NotRecorded):
        asyncio.run(running.writer.write([b"1"], ["a"]))
    assert running.writer.in_flight == 0


def write(writer, name: str) -> None:
    """In an event loop of its own, as each call from Django's threads has one."""
    asyncio.run(asyncio.wait_for(writer.write([name.encode()], [name]), 20))


def test_two_event_loops_may_write_at_once(running, broker):
    """The loop that began last must not be the only one that hears."""
    broker.is_silent = True  # so that both wait at the same time
    ended = []

    def call(name: str) -> None:
        write(running.writer, name)
        ended.append(name)

    threads = [threading.Thread(target=call, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    while len(broker.messages) < len(threads):
        pass
    broker.speak()
    for thread in threads:
        thread.join(10)
    assert sorted(ended) == ["a", "b", "c"]
    assert running.writer.in_flight == 0


def test_a_loop_that_has_ended_takes_nobody_elses_answers_with_it(running, broker):
    broker.is_silent = True

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.writer.write([b"gone"], ["gone"]), 0.01)

    asyncio.run(give_up())
    broker.speak()
    write(running.writer, "next")
    assert running.writer.in_flight == 0


def test_calls_that_wait_end_when_the_producer_fails_for_good(running, broker):
    """librdkafka then reports what it holds only when it is purged; a fresh producer takes the next call."""
    broker.is_silent = True
    successor = type(broker)()
    running.deliveries._make = lambda: successor

    async def calls() -> list:
        waiting = asyncio.ensure_future(running.writer.write([b"1"], ["a"]))
        await asyncio.sleep(0)
        broker.is_fatal = True
        refused = asyncio.ensure_future(running.writer.write([b"2"], ["b"]))
        return await asyncio.wait_for(asyncio.gather(waiting, refused, return_exceptions=True), 20)

    errors = asyncio.run(calls())
    assert [error.ids for error in errors] == [["a"], ["b"]]
    write(running.writer, "c")
    assert successor.messages == [b"c"]


def test_no_wait_outlasts_its_deadline_though_nobody_reports(running, broker, monkeypatch):
    monkeypatch.setattr(deliveries, "LONGEST_WAIT_S", 0.05)
    broker.is_silent = True
    with pytest.raises(NotRecorded):
        write(running.writer, "a")


@pytest.mark.parametrize("error", [RuntimeError, KafkaException, MemoryError, RecursionError])
def test_the_thread_that_hears_outlives_whatever_a_round_raises(running, broker, monkeypatch, error):
    monkeypatch.setattr(deliveries, "POLL_S", 0.01)
    poll, left = broker.poll, [error("made up"), error("again")]

    def poll_or_raise(timeout_s: float) -> int:
        if left:
            raise left.pop()
        return poll(timeout_s)

    monkeypatch.setattr(broker, "poll", poll_or_raise)
    for name in "abc":
        write(running.writer, name)
    assert not left


def test_no_records_are_safe_at_once(running):
    asyncio.run(asyncio.wait_for(running.writer.write([], []), 20))


def test_what_is_under_way_is_waited_for_at_the_end(running, broker):
    async def call() -> None:
        waiting = asyncio.ensure_future(running.writer.write([b"1"], ["a"]))
        await asyncio.sleep(0)
        await asyncio.to_thread(running.writer.close)
        await asyncio.wait_for(waiting, 20)

    asyncio.run(call())
