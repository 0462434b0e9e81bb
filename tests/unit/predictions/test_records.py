"""Records on their way to a broker that is slow, full or gone."""

import asyncio

import pytest

from predictions.errors import Busy, NotRecorded
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
