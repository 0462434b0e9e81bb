"""Records on their way to a broker that is slow, full or gone."""

import asyncio
import errno
import threading

import pytest
from confluent_kafka import KafkaException
from structlog.testing import capture_logs

from core.lib import traces
from predictions.errors import Busy, NotRecorded
from predictions.serving import deliveries, unanswered
from predictions.serving.callers import Caller
from predictions.serving.engine import Answer
from tests.champions import ROW
from tests.unit.predictions.conftest import FakeBroker


def test_a_broker_that_is_gone_gives_503_with_the_ids(call, broker, tmp_path):
    broker.fails = True
    status, problem, headers = call({"rows": [ROW, ROW]})
    assert status == 503
    assert int(headers["retry-after"]) > 0
    assert problem["ids"] == [record["id"] for record in broker.records]
    kept = [path.read_text().split() for path in (tmp_path / "unanswered").glob("*.ids")]
    assert kept == [problem["ids"]]


@pytest.fixture
def held(running, monkeypatch):
    """Writes of ids wait until the test lets them go on; the threads that wrote."""
    threads, go_on = [], threading.Event()
    write_whole = unanswered.write_whole

    def write_later(path, content):
        threads.append(threading.get_ident())
        go_on.wait(20)
        write_whole(path, content)

    monkeypatch.setattr(unanswered, "write_whole", write_later)
    return running.writer._unanswered, threads, go_on


async def test_ids_of_calls_that_fail_together_are_one_file_which_the_loop_does_not_write(held, tmp_path):
    kept, threads, go_on = held
    first = asyncio.create_task(kept.add(["a"]))
    while not threads:
        await asyncio.sleep(0)
    others = [asyncio.create_task(kept.add([name, name.upper()])) for name in "bcd"]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in (first, *others))
    go_on.set()
    await asyncio.wait_for(asyncio.gather(first, *others), 20)
    found = sorted(path.read_text().split() for path in (tmp_path / "unanswered").glob("*.ids"))
    assert found == [["a"], ["b", "B", "c", "C", "d", "D"]]
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_a_disk_that_does_not_answer_holds_nobody_up_for_long(held, monkeypatch):
    monkeypatch.setattr(unanswered, "ADD_TIMEOUT_S", 0.05)
    kept, _threads, go_on = held
    with capture_logs() as lines:
        await asyncio.wait_for(kept.add(["a"]), 20)
    go_on.set()
    assert [line["event"] for line in lines if line["event"].startswith("predictions.")] == [
        "predictions.unanswered_not_kept_yet"
    ]


async def test_ids_that_wait_for_a_disk_that_hangs_are_bounded(held, monkeypatch):
    monkeypatch.setattr(unanswered, "ADD_TIMEOUT_S", 0.05)
    monkeypatch.setattr(unanswered, "MOST_GATHERED", 3)
    kept, threads, go_on = held
    with capture_logs() as lines:
        await kept.add(["a"])
        while not threads:  # the disk has it
            await asyncio.sleep(0.01)
        await kept.add(["b", "c"])
        await kept.add(["d", "e"])
    assert kept._gathered == ["b", "c"]
    go_on.set()
    (beyond,) = [line for line in lines if line["event"] == "predictions.unanswered_not_kept"]
    assert beyond["n_ids"] == 2


def test_a_full_disk_changes_nothing_for_the_caller(call, broker, monkeypatch):
    def full(_path, _content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(unanswered, "write_whole", full)
    broker.fails = True
    with capture_logs() as lines:
        status, problem, _headers = call({"rows": [ROW]})
    assert status == 503
    assert problem["ids"] == [record["id"] for record in broker.records]
    (line,) = [line for line in lines if line["event"] == "predictions.unanswered_not_kept"]
    assert (line["n_ids"], "No space left" in line["reason"]) == (1, True)


def test_the_folder_of_ids_is_bounded_and_what_is_beyond_is_logged(call, broker, tmp_path, monkeypatch):
    monkeypatch.setattr(unanswered, "MOST_KEPT", 2)
    broker.fails = True
    with capture_logs() as lines:
        for _n in range(3):
            assert len(call({"rows": [ROW, ROW]})[1]["ids"]) == 2
    assert len(list(tmp_path.glob("unanswered/*"))) == 2
    (line,) = [line for line in lines if line["event"] == "predictions.unanswered_not_kept"]
    assert line["n_ids"] == 2


def test_the_next_call_goes_on_once_the_broker_is_back(call, broker):
    broker.fails = True
    call({"rows": [ROW]})
    broker.fails = False
    assert call({"rows": [ROW]})[0] == 200


def test_a_row_whose_record_the_broker_never_takes_is_refused_in_words(call, running, broker, monkeypatch):
    assert call({"rows": [ROW]})[0] == 200
    usual = len(broker.messages.pop())
    monkeypatch.setattr(running.writer, "_most_bytes", usual + 200)
    odd = {**ROW, "Embarked": "x" * 200}
    status, problem, headers = call({"rows": [ROW, odd]})
    assert (status, broker.messages, "retry-after" in headers) == (413, [], False)
    assert "can be recorded" in problem["detail"]
    assert [error["row"] for error in problem["errors"]] == [1]
    assert running.engine.in_flight == 0


def test_a_record_may_be_as_long_as_the_producer_takes(settings):
    assert deliveries.most_record_bytes() == 999_000
    settings.CONSOLE_KAFKA_CONFIG = {"message.max.bytes": "5000000"}
    assert deliveries.most_record_bytes() == 4_999_000


def test_a_full_queue_gives_503_and_no_ids(call, broker, tmp_path):
    broker.is_full = True
    status, problem, _headers = call({"rows": [ROW]})
    assert status == 503
    assert "could not be recorded" in problem["detail"]
    assert (problem["ids"], list(tmp_path.glob("unanswered/*"))) == ([], [])


@pytest.fixture
def slow(running, monkeypatch):
    """The model answers once the test lets it: the engine, and that event."""
    served, go_on = running.engine.champion("titanic"), asyncio.Event()
    score = served.score

    async def later(rows):
        await go_on.wait()
        return await score(rows)

    monkeypatch.setattr(served, "score", later)
    return running.engine, go_on


async def predict(engine, n_rows: int) -> Answer:
    served = engine.champion("titanic")
    rows = served.decoder.decode_rows([ROW] * n_rows)
    return await engine.predict(served, lambda _served: rows, Caller(7, "ana"), source="api")


async def test_more_rows_than_may_wait_at_once_are_refused_before_they_are_scored(slow, broker):
    engine, go_on = slow
    engine._places._most = 3
    first = asyncio.create_task(predict(engine, 2))
    await asyncio.sleep(0)
    with pytest.raises(Busy) as refused:
        await asyncio.wait_for(predict(engine, 2), 20)
    assert (refused.value.status, refused.value.retry_after_s, engine.in_flight) == (429, 1, 2)
    second = asyncio.create_task(predict(engine, 1))
    await asyncio.sleep(0)
    go_on.set()
    assert len((await first).predictions) + len((await second).predictions) == 3
    assert (engine.in_flight, len(broker.records)) == (0, 3)


async def test_places_are_kept_until_the_record_is_safe(running, broker):
    broker.is_silent = True
    call = asyncio.create_task(predict(running.engine, 2))
    while not broker.messages:
        await asyncio.sleep(0)
    assert running.engine.in_flight == 2
    broker.speak()
    await call
    assert running.engine.in_flight == 0


def test_nothing_stays_in_flight_after_a_failure(call, running, broker):
    broker.fails = True
    assert call({"rows": [ROW]})[0] == 503
    assert call({"rows": [{}]})[0] == 422
    assert running.engine.in_flight == 0


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
    while len(b"".join(broker.messages).replace(b"\n", b"")) + len(running.deliveries._waiting) < len(
        threads
    ):
        pass
    broker.speak()
    for thread in threads:
        thread.join(10)
    assert sorted(ended) == ["a", "b", "c"]


def test_a_loop_that_has_ended_takes_nobody_elses_answers_with_it(running, broker):
    broker.is_silent = True

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running.writer.write([b"gone"], ["gone"]), 0.01)

    asyncio.run(give_up())
    broker.speak()
    write(running.writer, "next")


def test_calls_that_wait_end_when_the_producer_fails_for_good(running, broker):
    """librdkafka then reports what it holds only when it is purged; a fresh producer takes the next call."""
    broker.is_silent = True
    successor = type(broker)()
    running.deliveries._make = lambda: successor

    async def calls() -> list:
        waiting = asyncio.ensure_future(running.writer.write([b"1"], ["a"]))
        while not broker.messages:
            await asyncio.sleep(0)
        broker.is_fatal = True
        refused = asyncio.ensure_future(running.writer.write([b"2"], ["b"]))
        return await asyncio.wait_for(asyncio.gather(waiting, refused, return_exceptions=True), 20)

    errors = asyncio.run(calls())
    assert [error.ids for error in errors] == [["a"], []], "the second was never sent"
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


def test_calls_of_one_turn_travel_in_one_message(running, broker):
    async def calls() -> None:
        await asyncio.gather(*(running.writer.write([name], ["id"]) for name in (b"1", b"2", b"3")))

    asyncio.run(calls())
    assert broker.messages == [b"1\n2\n3"]


def test_what_comes_while_two_messages_are_under_way_travels_together(running, broker):
    broker.is_silent = True

    async def calls() -> None:
        waiting = []
        for number in range(5):
            waiting.append(asyncio.ensure_future(running.writer.write([b"%d" % number], ["id"])))
            await asyncio.sleep(0.01)  # a turn of its own
        assert broker.messages == [b"0", b"1"]
        broker.speak()
        await asyncio.wait_for(asyncio.gather(*waiting), 20)

    asyncio.run(calls())
    assert broker.messages == [b"0", b"1", b"2\n3\n4"]


@pytest.mark.parametrize(
    ("records", "sizes"),
    [
        ([b"x"] * 250, [100, 100, 50]),
        ([b"x" * deliveries.MOST_BYTES, b"x", b"x"], [1, 2]),
        ([b"x", b"x" * deliveries.MOST_BYTES, b"x"], [1, 1, 1]),
    ],
)
def test_a_large_call_takes_several_messages(running, broker, records, sizes):
    asyncio.run(running.writer.write(records, ["id"] * len(records)))
    assert [len(message.split(b"\n")) for message in broker.messages] == sizes


@pytest.mark.parametrize(("parent", "sizes"), [("", [9, 9, 2]), (f"00-{'a' * 32}-{'b' * 16}-01", [8, 8, 4])])
def test_a_message_is_no_longer_than_the_producer_takes(settings, monkeypatch, parent, sizes):
    """Of 10,000 bytes 9,000 are the records', or 100 fewer for each that has a trace."""
    settings.CONSOLE_KAFKA_CONFIG = {"message.max.bytes": 10_000}
    monkeypatch.setattr(traces, "traceparent", lambda: parent)
    made = deliveries.Deliveries("predictions")
    broker = made._producer = FakeBroker()
    broker.is_silent = True
    monkeypatch.setattr(deliveries, "MOST_UNDER_WAY", 100)

    async def calls() -> None:
        for _n in range(20):
            made.send([b"x" * 1000])
        await asyncio.sleep(0)

    asyncio.run(calls())
    assert [len(message.split(b"\n")) for message in broker.messages] == sizes


def test_one_message_of_a_call_that_fails_fails_the_call(running, broker, monkeypatch):
    monkeypatch.setattr(deliveries, "MOST_RECORDS", 1)
    broker.refused = b"2"
    with pytest.raises(NotRecorded):
        asyncio.run(running.writer.write([b"1", b"2", b"3"], ["a", "b", "c"]))
    assert broker.messages == [b"1", b"3"]
    asyncio.run(running.writer.write([b"4"], ["d"]))


def test_messages_that_are_never_reported_hold_up_no_later_ones(running, broker, monkeypatch):
    monkeypatch.setattr(deliveries, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(deliveries, "POLL_S", 0.01)
    broker.is_silent = True
    for name in "ab":
        with pytest.raises(NotRecorded):
            write(running.writer, name)
    monkeypatch.setattr(deliveries, "LONGEST_WAIT_S", 20)
    for bundle in running.deliveries._under_way:
        bundle.sent_at -= 20
    broker.is_silent, broker._waiting = False, []
    write(running.writer, "c")
    assert broker.messages == [b"a", b"b", b"c"]
