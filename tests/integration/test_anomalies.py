"""An anomaly rule on the real stack: from the broker to the table, the topic and the alert."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer

from streaming import defaults
from tests.api import Caller, ok, wait_for
from tests.integration.test_streams import encoded, n_counted, produce
from tests.running_stack import RunningStack

THRESHOLD = {"kind": "threshold", "field": "fare_amount", "limit": 50}


@pytest.fixture(scope="module")
def engineer(stack: RunningStack) -> Caller:
    return Caller(stack, f"engineer-{uuid.uuid4().hex[:6]}", "engineer")


@pytest.fixture
def stream(engineer: Caller) -> Iterator[str]:
    """A stream of taxi trips with a topic of its own and a rule from its first event on."""
    name = f"odd_{uuid.uuid4().hex[:8]}"
    definition = {**defaults.TAXI_TRIPS, "anomaly_rule": THRESHOLD}
    ok(engineer.post("/streams", {"name": name, "topic": name, "definition": definition}), 201)
    path = f"/streams/{name}"
    wait_for("its rule", lambda: ok(engineer.get(path))["rule_state"], timeout_s=30)
    yield name
    headers = {"Authorization": f"Bearer {engineer.token}"}
    assert httpx.delete(f"{engineer._base}{path}", headers=headers, timeout=30).status_code == 204


def anomalies(caller: Caller, name: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = ok(caller.get(f"/streams/{name}/anomalies"))["results"]
    return results


def n_in_topic(stack: RunningStack, topic: str, wanted: int) -> int:
    settings = {**stack.kafka_config, "group.id": f"test-{uuid.uuid4().hex}", "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    consumer.subscribe([topic])
    n, deadline = 0, time.monotonic() + 30
    while time.monotonic() < deadline:
        message = consumer.poll(2.0)
        if message is None and n >= wanted:
            break
        n += message is not None and message.error() is None
    consumer.close()
    return n


def test_events_above_a_limit_are_rows_messages_and_one_alert_and_none_is_lost(stack, engineer, stream):
    now = time.time()
    produce(stack, stream, [encoded(now), encoded(now, fare_amount=60), b"bad", encoded(now, fare_amount=50)])
    [row] = wait_for("the anomaly", lambda: anomalies(engineer, stream), timeout_s=30)
    assert (row["observed"], row["limit"], row["offset"]) == (60, 50, 1)
    stack.kill("aggregator")
    produce(stack, stream, [encoded(now, fare_amount=70), encoded(now)])
    wait_for("the second one", lambda: len(anomalies(engineer, stream)) == 2, timeout_s=60)

    def n_judged() -> int:
        return ok(engineer.get(f"/streams/{stream}"))["rule_state"]["n_judged"]

    wait_for("the count", lambda: n_counted(engineer, stream) >= 5 and n_judged() >= 5, timeout_s=30)
    assert (n_counted(engineer, stream), n_judged()) == (5, 5)
    alerts = [one for one in ok(engineer.get("/alerts"))["results"] if one["subject"] == stream]
    assert [one["rule"] for one in alerts] == ["stream_anomaly"]
    assert n_in_topic(stack, f"{stream}.anomalies", 2) == 2


def test_a_model_that_is_not_there_makes_the_rule_wait_and_no_more(stack, engineer, stream):
    rule = {"kind": "model", "field": "tip_amount", "model": "no_such_model"}
    body = {"definition": {**defaults.TAXI_TRIPS, "anomaly_rule": rule}}
    headers = {"Authorization": f"Bearer {engineer.token}"}
    url = f"{engineer._base}/streams/{stream}"
    assert httpx.patch(url, json=body, headers=headers, timeout=30).status_code == 200
    state = wait_for(
        "the new rule", lambda: ok(engineer.get(f"/streams/{stream}"))["rule_state"], timeout_s=30
    )
    assert state["n_judged"] == 0
    produce(stack, stream, [encoded(time.time())] * 3)
    wait_for("the count", lambda: n_counted(engineer, stream) == 3, timeout_s=30)
    state = wait_for(
        "its words",
        lambda: (found := ok(engineer.get(f"/streams/{stream}"))["rule_state"])["waits_for"] and found,
        timeout_s=30,
    )
    assert "404" in state["waits_for"]
