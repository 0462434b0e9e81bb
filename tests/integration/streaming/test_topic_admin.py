"""Topics and consumer groups administered over REST, on a real broker: what it takes, refuses, and says."""

import base64
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition

from tests.api import Caller, ok, wait_for
from tests.running_stack import RunningStack


@pytest.fixture(scope="module")
def engineer(stack: RunningStack) -> Caller:
    return Caller(stack, f"topics-{uuid.uuid4().hex[:6]}", "engineer")


@pytest.fixture
def topic(engineer: Caller) -> Iterator[str]:
    """A new topic of two partitions."""
    name = f"admin.{uuid.uuid4().hex[:8]}"
    made = ok(engineer.post("/topics", {"name": name, "n_partitions": 2}), 201)
    assert [one["number"] for one in made["partitions"]] == [0, 1]
    yield name
    assert delete(engineer, f"/topics/{name}").status_code in (204, 404)


def delete(caller: Caller, path: str) -> httpx.Response:
    return caller._call("DELETE", path)


def produce(caller: Caller, topic: str, *messages: dict[str, Any], **options: Any) -> dict[str, Any]:
    return ok(caller.post(f"/topics/{topic}/messages", {"messages": list(messages)}, **options), 200)


def faults(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


@contextmanager
def member(stack: RunningStack, group: str, topic: str, *, commits_at: dict[int, int]) -> Iterator[None]:
    """A consumer that reads in the group."""
    settings = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    consumer = Consumer({**stack.kafka_config, **settings, "client.id": "shop", "session.timeout.ms": 6000})
    consumer.subscribe([topic])
    try:
        wait_for("both partitions", lambda: (consumer.poll(0.2), consumer.assignment())[1], timeout_s=30)
        places = [TopicPartition(topic, number, offset) for number, offset in commits_at.items()]
        consumer.commit(offsets=places, asynchronous=False)
        yield
    finally:
        consumer.close()


def committed(caller: Caller, group: str) -> dict[tuple[str, int], int]:
    found = ok(caller.get(f"/consumer-groups/{quote(group, safe='')}"))
    return {(one["topic"], one["partition"]): one["committed"] for one in found["offsets"]}


def test_what_kafka_refuses_is_said_in_its_words_at_the_field(engineer, topic):
    def refused(**body: Any) -> dict[str, str]:
        return faults(engineer.post("/topics", {"name": f"{topic}.new", **body}))

    assert "replication factor" in refused(replication_factor=3)["replication_factor"].lower()
    assert "Unknown topic config name: retention.hours" in refused(config={"retention.hours": 1})["config"]
    assert "retention.ms" in refused(config={"retention.ms": "soon"})["config"]
    assert "cleanup.policy" in refused(config={"cleanup.policy": "burn"})["config"]
    assert topic in refused(name=topic.replace(".", "_"))["name"]
    assert engineer.post("/topics", {"name": topic}).status_code == 409
    assert engineer.get(f"/topics/{topic}.new").status_code == 404


def test_settings_are_told_set_and_reset(engineer, topic):
    def settings() -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in ok(engineer.get(f"/topics/{topic}/config"))["results"]}

    before = settings()["retention.ms"]
    assert (before["value"], before["source"]) == ("604800000", "default")
    ok(
        engineer.patch(
            f"/topics/{topic}", {"config": {"retention.ms": 3_600_000, "max.message.bytes": "2000"}}
        )
    )
    wait_for("the new value", lambda: settings()["retention.ms"]["value"] == "3600000", timeout_s=10)
    own = settings()["retention.ms"]
    assert (own["source"], own["default"]) == ("topic", None)  # Kafka tells none of this one
    size = settings()["max.message.bytes"]
    assert (size["value"], size["source"], size["default"]) == ("2000", "topic", "1048588")
    assert (
        "Not a number"
        in faults(engineer.patch(f"/topics/{topic}", {"config": {"retention.ms": "x"}}))["config"]
    )
    half = {"n_partitions": 3, "config": {"no.such": "1", "retention.ms": "5"}}
    assert "no.such" in faults(engineer.patch(f"/topics/{topic}", half))["config"]
    assert len(ok(engineer.get(f"/topics/{topic}"))["partitions"]) == 2
    ok(engineer.patch(f"/topics/{topic}", {"config": {"retention.ms": None}}))
    wait_for("the default", lambda: settings()["retention.ms"]["source"] == "default", timeout_s=10)
    assert settings()["max.message.bytes"]["value"] == "2000"


def test_partitions_are_added(engineer, topic):
    changed = ok(engineer.patch(f"/topics/{topic}", {"n_partitions": 4}))
    assert len(changed["partitions"]) == 4
    assert "Keys move" in changed["warnings"][0]
    assert "n_partitions" in faults(engineer.patch(f"/topics/{topic}", {"n_partitions": 3}))


def test_odd_messages_are_sent_and_read_back_and_one_at_fault_stops_no_other(engineer, topic):
    ok(engineer.patch(f"/topics/{topic}", {"config": {"max.message.bytes": "2000"}}))

    def limit() -> str:
        found = ok(engineer.get(f"/topics/{topic}/config"))["results"]
        return {one["name"]: one["value"] for one in found}["max.message.bytes"]

    wait_for("the limit", lambda: limit() == "2000", timeout_s=10)
    data = base64.b64encode(b"\x00\xff").decode()
    noise = base64.b64encode(os.urandom(4000)).decode()
    headers = [{"name": "é", "value": data, "encoding": "base64"}, {"name": "", "value": None}]
    sent = [
        {"key": "k", "value": "é\n", "partition": 0, "headers": headers},
        {
            "key": {"id": 1},
            "key_encoding": "json",
            "value": {"a": [1]},
            "value_encoding": "json",
            "partition": 0,
        },
        {"key": "big", "value": noise, "value_encoding": "base64", "partition": 0},
        {"key": "gone", "value": None, "partition": 0},
        {"key": data, "key_encoding": "base64", "value": data, "value_encoding": "base64", "partition": 0},
        {"value": "", "partition": 0, "timestamp": "2026-03-01T12:00:00Z"},
        {"value": "early", "partition": 0, "timestamp": 7_258_118_400_000},
        {"value": "last", "partition": 0},
    ]
    key = uuid.uuid4().hex
    found = produce(engineer, topic, *sent, key=key)
    assert found["n_sent"] == 6, found
    assert [one["offset"] for one in found["results"]] == [0, 1, None, 2, 3, 4, None, 5]
    assert "larger than the topic takes" in found["results"][2]["error"]
    assert "timestamp" in found["results"][6]["error"].lower()
    assert produce(engineer, topic, *sent, key=key) == found  # once
    lying = ok(engineer.get(f"/topics/{topic}/messages?from=earliest"))["results"]
    lying.sort(key=lambda one: one["offset"])
    values = [one["value"] and one["value"]["content"] for one in lying]
    assert values == ["é\n", '{"a":[1]}', None, data, "", "last"]
    assert [one["key"] and one["key"]["content"] for one in lying] == [
        "k",
        '{"id":1}',
        "gone",
        data,
        None,
        None,
    ]
    assert [header["name"] for header in lying[0]["headers"]] == ["é", ""]
    assert lying[4]["at_ms"] == 1_772_366_400_000


def test_a_key_lies_where_java_puts_it(engineer, topic):
    """Kafka's own UtilsTest: murmur2 of the key is -1486304829, (x & 0x7fffffff) % 2 is 1. CRC32 says 0."""
    found = produce(engineer, topic, *[{"key": "a-little-bit-longer-string", "value": "a"}] * 3)
    assert {one["partition"] for one in found["results"]} == {1}


def test_messages_are_purged_and_a_compacted_topic_keeps_them(engineer, topic):
    produce(engineer, topic, *[{"value": str(n), "partition": n % 2} for n in range(6)])
    purged = ok(engineer.post(f"/topics/{topic}/purge", {"offsets": {"0": 2}}), 200)["results"]
    assert purged == [{"partition": 0, "low": 2, "error": ""}]
    assert "offsets" in faults(engineer.post(f"/topics/{topic}/purge", {"offsets": {"0": 9}}))
    ok(engineer.patch(f"/topics/{topic}", {"config": {"cleanup.policy": "compact"}}))

    def refused() -> str:
        answer = engineer.post(f"/topics/{topic}/purge", {"offsets": {"0": 2}})
        return answer.json()["detail"] if answer.status_code == 409 else ""

    assert "is compacted" in wait_for("the policy", refused, timeout_s=10)
    ok(engineer.patch(f"/topics/{topic}", {"config": {"cleanup.policy": None}}))
    wait_for(
        "the purge",
        lambda: engineer.post(f"/topics/{topic}/purge", {"all": True}).status_code == 200,
        timeout_s=10,
    )
    assert [(one["low"], one["high"]) for one in ok(engineer.get(f"/topics/{topic}"))["partitions"]] == [
        (3, 3), (3, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("tail", ["", "/offsets", " ü/%2F?#&", "x" * 250])
def test_a_groups_offsets_are_previewed_moved_and_deleted(stack, engineer, topic, tail):
    group = f"g-{uuid.uuid4().hex[:6]}{tail}"
    path = f"/consumer-groups/{quote(group, safe='')}"
    since = int(time.time() * 1000)
    produce(
        engineer, topic, *[{"value": str(n), "partition": n % 2, "timestamp": since + n} for n in range(6)]
    )
    body = {"topic": topic, "to": "earliest"}
    with member(stack, group, topic, commits_at={0: 2}):
        about = ok(engineer.get(path))
        assert (about["name"], about["state"], about["n_members"]) == (group, "stable", 1)
        assert about["members"][0]["client_id"] == "shop"
        assert len(about["members"][0]["assigned"]) == 2
        assert (
            "Stop its consumers" in ok(engineer.post(f"{path}/offsets", {**body, "dry_run": True}))["blocked"]
        )
        for answer in (engineer.post(f"{path}/offsets", body), delete(engineer, path)):
            assert answer.status_code == 409
            assert "Stop its consumers" in answer.json()["detail"]
    wait_for("an empty group", lambda: ok(engineer.get(path))["state"] == "empty", timeout_s=20)
    preview = ok(engineer.post(f"{path}/offsets", {**body, "dry_run": True}))
    assert [(one["before"], one["after"]) for one in preview["moves"]] == [(2, 0), (None, 0)]
    assert committed(engineer, group) == {(topic, 0): 2}
    for wish, wanted in (
        ({"to": "latest"}, {0: 3, 1: 3}),
        ({"shift_by": -2, "partitions": [0]}, {0: 1, 1: 3}),
        ({"to": since + 3}, {0: 3, 1: 3}),  # a number is an offset: both end at 3
        ({"to": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since / 1000 - 60))}, {0: 0, 1: 0}),
        ({"to": "2", "partitions": [1]}, {0: 0, 1: 2}),
    ):
        ok(engineer.post(f"{path}/offsets", {"topic": topic, **wish}), 200)
        assert committed(engineer, group) == {(topic, number): offset for number, offset in wanted.items()}
    assert delete(engineer, path).status_code == 204
    assert engineer.get(path).status_code == 404
    assert delete(engineer, path).status_code == 404


def test_what_is_the_consoles_stays(engineer):
    assert delete(engineer, "/topics/predictions").status_code == 409
    assert engineer.post("/topics/predictions/messages", {"messages": [{"value": "{}"}]}).status_code == 409
    assert engineer.post("/topics/predictions/purge", {"all": True}).status_code == 409
    assert delete(engineer, "/topics/__consumer_offsets").status_code == 409
    assert delete(engineer, "/consumer-groups/atalaya-recorder").status_code == 409
    body = {"topic": "predictions", "to": "earliest"}
    assert engineer.post("/consumer-groups/atalaya-recorder/offsets", body).status_code == 409
    recorder = "/consumer-groups/atalaya-recorder"
    wait_for("the recorder", lambda: ok(engineer.get(recorder))["state"] == "stable", timeout_s=60)


def test_a_deleted_topic_is_gone(engineer, topic):
    assert delete(engineer, f"/topics/{topic}").status_code == 204
    wait_for("its end", lambda: engineer.get(f"/topics/{topic}").status_code == 404, timeout_s=10)
    assert delete(engineer, f"/topics/{topic}").status_code == 404
