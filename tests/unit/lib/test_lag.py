"""How far behind Kafka a part is: told by its processes, each of its own partitions, and added up."""

import threading

import pytest

from core.lib import heartbeat, lag, redis
from core.lib.lag import Behind

pytestmark = pytest.mark.usefixtures("real_redis")


def test_what_several_processes_tell_is_added_up():
    lag.tell("recorder", {"predictions/0": Behind(3, oldest_at=50.0), "predictions/1": Behind(0)})
    lag.tell("recorder", {"predictions/2": Behind(4, oldest_at=40.0)})
    assert lag.of("recorder") == Behind(7, oldest_at=40.0)
    assert lag.of("aggregator") is None


def test_a_partition_that_another_process_took_over_counts_once():
    lag.tell("recorder", {"predictions/0": Behind(3)})
    lag.tell("recorder", {"predictions/0": Behind(1)})
    assert lag.of("recorder") == Behind(1)


def test_a_stream_that_is_stuck_is_counted_as_one():
    lag.tell("aggregator", {"rides": Behind(3), "broken": lag.STUCK})
    assert lag.of("aggregator") == Behind(3, n_stuck=1)
    lag.tell("aggregator", {"broken": Behind(4)})
    assert lag.of("aggregator") == Behind(7)


def test_what_nobody_told_again_is_no_news(monkeypatch):
    now = lag.time.time()
    lag.tell("aggregator", {"deleted": Behind(9)})
    monkeypatch.setattr(lag.time, "time", lambda: now + lag.EXPIRES_S + 1)
    lag.tell("aggregator", {"trips": Behind(2)})
    assert lag.of("aggregator") == Behind(2)
    assert 0 < redis.client().ttl("lag:aggregator") <= lag.EXPIRES_S


def test_a_heart_beats_on_whatever_comes_of_the_question(monkeypatch):
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.01)
    asked, enough = [], threading.Event()

    def behind():
        asked.append(len(asked))
        if len(asked) == 3:
            enough.set()
        if len(asked) == 1:
            raise RuntimeError("made up")
        return {"predictions/0": Behind(len(asked))}

    stop = heartbeat.keep("recorder", behind=behind)
    assert enough.wait(10)
    stop()
    assert heartbeat.last("recorder") is not None
    assert lag.of("recorder").n_messages >= 2
