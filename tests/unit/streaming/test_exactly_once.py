"""A call of librdkafka that never returns holds up one sender, not whoever called it."""

import threading

import pytest
from confluent_kafka import KafkaError, KafkaException

from streaming import exactly_once


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(exactly_once, "TIMEOUT_S", 0.1)
    monkeypatch.setattr(exactly_once, "GRACE_S", 0.1)


def test_a_call_that_never_returns_is_given_up():
    never = threading.Event()
    try:
        with pytest.raises(KafkaException) as raised:
            exactly_once._in_time(lambda: never.wait() and None)
    finally:
        never.set()
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT


def test_what_the_call_raises_reaches_the_caller():
    def fenced() -> None:
        raise KafkaException(KafkaError(KafkaError._FENCED, "another sender"))

    with pytest.raises(KafkaException, match="another sender"):
        exactly_once._in_time(fenced)


def test_a_call_that_returns_is_waited_for():
    done = []
    exactly_once._in_time(lambda: done.append("sent"))
    assert done == ["sent"]
