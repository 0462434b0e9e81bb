"""What many ask at once is asked of a service once, and nobody waits in a queue for it."""

import threading
import time

import pytest

from core.lib import redis, shared


@pytest.fixture
def asked():
    return []


@pytest.fixture
def ask(asked):
    """A service that takes its time, and says something new each time."""

    def answer():
        asked.append(threading.get_ident())
        time.sleep(0.2)
        return f"answer {len(asked)}"

    return answer


def test_twenty_at_once_ask_once(real_redis, ask, asked):
    found = []
    callers = [
        threading.Thread(target=lambda: found.append(shared.once("x", ask, wait_s=10))) for _ in range(20)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(asked) == 1
    assert found == [shared.Kept("answer 1", is_fresh=True)] * 20


def test_who_does_not_wait_gets_what_was_known(real_redis, ask):
    assert shared.once("x", ask, mark="running") == shared.Kept("answer 1", is_fresh=True)
    redis.client().set("shared:x:asking", "somebody", ex=60)
    assert shared.once("x", ask, mark="running") == shared.Kept("answer 1", is_fresh=True)
    assert shared.once("x", ask, mark="success") == shared.Kept("answer 1", is_fresh=False)
    redis.client().set("shared:y:asking", "somebody", ex=60)
    assert shared.once("y", ask) is None


def test_it_is_asked_again_after_a_while_and_of_what_changed(real_redis, ask, asked):
    shared.once("x", ask, mark="running")
    shared.once("x", ask, mark="success")
    assert len(asked) == 2
    assert shared.once("x", ask, mark="success", fresh_s=0) == shared.Kept("answer 3", is_fresh=True)
    shared.once("y", ask)
    assert len(asked) == 4


def test_one_that_fails_lets_the_next_ask(real_redis, ask):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared.once("x", fail)
    assert shared.once("x", ask) == shared.Kept("answer 1", is_fresh=True)


def test_without_redis_each_asks(real_redis, ask, asked):
    real_redis.stop()
    assert [shared.once("x", ask), shared.once("x", ask)] == [
        shared.Kept("answer 1", is_fresh=True),
        shared.Kept("answer 2", is_fresh=True),
    ]


def test_redis_that_goes_once_one_asks_leaves_nobody_waiting(real_redis, ask, asked, monkeypatch):
    kept, looks = shared._kept, []

    def goes_at_the_second(*names):
        looks.append(names)
        if len(looks) == 2:
            raise redis.RedisError("gone")
        return kept(*names)

    monkeypatch.setattr(shared, "_kept", goes_at_the_second)
    assert shared.once("x", ask) == shared.Kept("answer 1", is_fresh=True)
    assert not redis.client().exists("shared:x:asking")
