"""What Redis is for: keys that make a call count once, and messages that wake the refresher."""

import threading
import time

import pytest

from core.lib import redis as console_redis
from core.lib.errors import Unavailable
from predictions.serving import refresh
from tests import champions
from tests.champions import ROW


def test_a_repeated_call_gets_the_first_answer(call, broker, real_redis):
    first = call({"rows": [ROW]}, idempotency_key="once")
    again = call({"rows": [ROW]}, idempotency_key="once")
    assert first[0] == again[0] == 200
    assert again[1] == first[1]
    assert again[2]["idempotent-replay"] == "true"
    assert len(broker.messages) == 1


def test_the_same_key_with_another_body_is_refused(call, broker, real_redis):
    call({"rows": [ROW]}, idempotency_key="once")
    status, _problem, _headers = call({"rows": [{**ROW, "Age": 30}]}, idempotency_key="once")
    assert status == 422
    assert len(broker.messages) == 1


def test_a_refusal_is_repeated_too(call, real_redis):
    first = call({"rows": [{}]}, idempotency_key="once")
    again = call({"rows": [{}]}, idempotency_key="once")
    assert (first[0], again[0]) == (422, 422)
    assert again[2]["idempotent-replay"] == "true"


def test_an_unconfirmed_call_may_be_sent_again(call, broker, real_redis):
    broker.fails = True
    assert call({"rows": [ROW]}, idempotency_key="once")[0] == 503
    broker.fails = False
    assert call({"rows": [ROW]}, idempotency_key="once")[0] == 200


def test_an_answer_that_is_recorded_is_given_though_redis_went_away(call, broker, real_redis, monkeypatch):
    async def gone(*_args):
        raise Unavailable("The store of Idempotency-Keys does not answer.", service="redis")

    monkeypatch.setattr("core.lib.idempotency.Claim.akeep", gone)
    assert call({"rows": [ROW]}, idempotency_key="once")[0] == 200
    assert len(broker.messages) == 1


@pytest.mark.parametrize("channel", ["champions", "tokens"])
def test_a_message_wakes_the_refresher(running, source, real_redis, monkeypatch, channel):
    monkeypatch.setattr(refresh, "EVERY_S", 60)
    turned = threading.Event()
    running.refresher.start()
    try:
        time.sleep(0.3)  # it subscribes after its first turn
        source.promote("2", champions.packed(seed=1))
        source.tokens = [champions.grant(key="another")]
        console_redis.client().publish(channel, "titanic")
        for _ in range(100):
            if running.engine.served["titanic"].ref.version == "2":
                break
            turned.wait(0.05)
        assert running.engine.served["titanic"].ref.version == "2"
        assert running.callers.authenticate(b"Bearer another").username == "ana"
    finally:
        running.refresher.stop()
