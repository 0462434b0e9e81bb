"""What Redis is for: keys that make a call count once, and messages that wake the refresher."""

import time
from contextlib import suppress

import orjson
import pytest

from core.lib import redis as console_redis
from core.lib.errors import NotSignedIn, Unavailable
from predictions.serving import refresh
from predictions.serving.application import PredictApp
from predictions.serving.inference import InferenceApp
from tests import champions
from tests.champions import ROW
from tests.unit.predictions.test_open_inference import INFER, tensors


def test_a_repeated_call_gets_the_first_answer(call, broker, real_redis):
    first = call({"rows": [ROW]}, idempotency_key="once")
    again = call({"rows": [ROW]}, idempotency_key="once")
    assert first[0] == again[0] == 200
    assert again[1] == first[1]
    assert again[2]["idempotent-replay"] == "true"
    assert len(broker.messages) == 1


def test_a_repeated_call_of_another_protocol_gets_the_first_answer(call, running, broker, real_redis):
    for _n in range(2):
        status, answer, headers = call({"inputs": [ROW]}, path="titanic/invocations", idempotency_key="once")
        assert (status, answer) == (200, {"predictions": [0]})
    assert headers["idempotent-replay"] == "true"
    assert len(broker.messages) == 1


async def test_a_key_of_the_open_inference_protocol_counts_once(running, broker, real_redis):
    app, sent = InferenceApp(PredictApp(running)), []
    bodies = [orjson.dumps({"inputs": tensors(ROW | {"Age": age})}) for age in (22, 22, 500, 500)]
    for body, key in zip(bodies, (b"good", b"good", b"bad", b"bad"), strict=True):

        async def receive(body=body):
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message):
            sent.append(message)

        headers = [(b"authorization", f"Bearer {champions.KEY}".encode()), (b"idempotency-key", key)]
        await app({"type": "http", "method": "POST", "path": INFER, "headers": headers}, receive, send)
    statuses, answers = [one["status"] for one in sent[::2]], [one["body"] for one in sent[1::2]]
    assert statuses == [200, 200, 422, 422]
    assert answers[0] == answers[1]
    assert "Age must be at most 120" in orjson.loads(answers[3])["error"]
    assert len(broker.messages) == 1
    await app.shutdown()


def test_the_same_key_with_another_body_is_refused(call, broker, real_redis):
    call({"rows": [ROW]}, idempotency_key="once")
    status, _problem, _headers = call({"rows": [{**ROW, "Age": 30}]}, idempotency_key="once")
    assert status == 422
    assert len(broker.messages) == 1


def test_a_connection_that_breaks_uses_no_key_up(call, broker, real_redis):
    assert call({"rows": [ROW]}, idempotency_key="once", hangs_up=True)[0] == 0
    assert call({"rows": [ROW]}, idempotency_key="once")[0] == 200
    assert len(broker.messages) == 1


def test_a_refusal_uses_no_key_up(call, broker, real_redis):
    assert call({"rows": [{}]}, idempotency_key="once")[0] == 422
    assert call({"rows": [ROW]}, idempotency_key="once")[0] == 200
    assert len(broker.messages) == 1


def test_a_call_that_came_too_early_may_be_sent_again(call, running, real_redis):
    too_early = {"path": "unfinished/predict", "idempotency_key": "once"}
    unknown = {"path": "atlantis/predict", "idempotency_key": "once"}
    assert call({"rows": [ROW]}, **too_early)[0] == 409
    assert call({"rows": [ROW]}, **unknown)[0] == 404
    served = running.engine.served["titanic"]
    running.engine.served |= {"unfinished": served, "atlantis": served}
    assert call({"rows": [ROW]}, **too_early)[0] == 200
    assert call({"rows": [ROW]}, **unknown)[0] == 200


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


@pytest.fixture
def turning(running, real_redis, monkeypatch):
    """The service with its threads, which turn only at messages, once they have subscribed."""
    monkeypatch.setattr(refresh, "EVERY_S", 3600)
    running.refresher.start()
    client = console_redis.client()
    wait_until(lambda: all(n for _name, n in client.pubsub_numsub("tokens", "champions")))
    yield running
    running.refresher.stop()


def wait_until(is_so) -> None:
    give_up_at = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_a_message_about_tokens_ends_a_revoked_one(turning, source):
    source.tokens = [champions.grant(key="another")]
    console_redis.client().publish("tokens", "3")
    wait_until(lambda: known(turning) == {"another"})


def test_a_message_about_champions_swaps_one(turning, source):
    source.promote("2", champions.packed(seed=1))
    console_redis.client().publish("champions", "titanic")
    wait_until(lambda: turning.engine.served["titanic"].ref.version == "2")


def known(service) -> set[str]:
    """Keys, of those that these tests use, that get in."""
    found = set()
    for key in (champions.KEY, "another"):
        with suppress(NotSignedIn):
            service.callers.authenticate(f"Bearer {key}".encode())
            found.add(key)
    return found
