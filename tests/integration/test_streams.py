"""Streams on a real broker and database: each bad message, and the aggregator killed in the middle."""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
)
from confluent_kafka.admin import AdminClient, NewTopic

from streaming import defaults
from tests.api import Caller, ok, wait_for
from tests.running_stack import RunningStack

N_EVENTS = 20_000
N_KILLS = 3


@pytest.fixture(scope="module")
def engineer(stack: RunningStack) -> Caller:
    return Caller(stack, f"engineer-{uuid.uuid4().hex[:6]}", "engineer")


@pytest.fixture
def stream(engineer: Caller) -> Iterator[str]:
    """A stream of taxi trips with a topic of its own."""
    name = f"trips_{uuid.uuid4().hex[:8]}"
    body = {"name": name, "topic": name, "definition": defaults.TAXI_TRIPS}
    ok(engineer.post("/streams", body), 201)
    wait_for("its topics", lambda: engineer.get(f"/topics/{name}.dead").status_code == 200, timeout_s=30)
    yield name
    headers = {"Authorization": f"Bearer {engineer.token}"}
    url = f"{engineer._base}/streams/{name}"
    assert httpx.delete(url, headers=headers, timeout=30).status_code == 204


def trip(at: float, **values: Any) -> dict[str, Any]:
    when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    numbers = {"trip_distance": 2.0, "fare_amount": 10.0, "tip_amount": 1.5}
    return {"vendor_id": "1", "pickup_datetime": when, "payment_type": "1", **numbers, **values}


def encoded(at: float, **values: Any) -> bytes:
    return json.dumps(trip(at, **values)).encode()


def produce(stack: RunningStack, topic: str, values: list[bytes | None], *, pause_s: float = 0.0) -> None:
    producer = Producer({**stack.kafka_config, "acks": "all"})
    failed = []

    def taken(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(str(error))

    for number, value in enumerate(values):
        producer.produce(topic, value, None if number % 2 else str(number).encode(), on_delivery=taken)
        producer.poll(0)
        if pause_s and number % 100 == 0:
            time.sleep(pause_s)
    assert (producer.flush(30), failed) == (0, [])


def every(caller: Caller, path: str) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    url = f"{path}?limit=200"
    while url:
        page = ok(caller.get(url))
        found += page["results"]
        url = page["next"].partition("/api/v1")[2] if page["next"] else ""
    return found


def n_counted(caller: Caller, name: str) -> int:
    return sum(window["count"] for window in every(caller, f"/streams/{name}/windows"))


def dead_on_topic(stack: RunningStack, topic: str, wanted: int) -> list[tuple[dict[str, str], bytes | None]]:
    """Headers and bytes of everything in a dead topic, once `wanted` are there and no more come."""
    settings = {**stack.kafka_config, "group.id": f"test-{topic}"}
    consumer = Consumer({**settings, "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe([topic])
    found = []
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        message = consumer.poll(3.0)
        if message is None and len(found) >= wanted:
            break
        if message is not None and message.error() is None:
            found.append(({name: value.decode() for name, value in message.headers()}, message.value()))
    consumer.close()
    return found


def test_each_bad_message_is_a_dead_letter_with_reason_place_and_bytes(stack, engineer, stream):
    now = time.time()
    without_fare = trip(now)
    del without_fare["fare_amount"]
    bad: dict[bytes | None, str] = {
        b"\x00\xff nothing": "not JSON",
        json.dumps(without_fare).encode(): "missing required field `fare_amount`",
        encoded(now, fare_amount="ten"): "fare_amount: Expected `float`, got `str`",
        encoded(0): "before the year 2000",
        encoded(7_258_118_400): "ahead of the clock",
        encoded(now, vendor_id="x" * 999_000): "too large",
        None: "null",
        encoded(now - 3600): "late",
    }
    produce(stack, stream, [encoded(now), *bad])
    path = f"/streams/{stream}/dead-letters"
    wait_for("dead letters", lambda: len(ok(engineer.get(path))["results"]) == len(bad), timeout_s=30)
    letters = sorted(ok(engineer.get(path))["results"], key=lambda letter: letter["offset"])
    for letter, part in zip(letters, bad.values(), strict=True):
        assert part in letter["reason"]
    assert n_counted(engineer, stream) == 1
    sent = dead_on_topic(stack, f"{stream}.dead", len(bad))
    assert [value for _headers, value in sent] == list(bad)
    assert [int(headers["atalaya.offset"]) for headers, _value in sent] == [
        letter["offset"] for letter in letters
    ]
    assert all(
        part in headers["atalaya.reason"] for (headers, _), part in zip(sent, bad.values(), strict=True)
    )


@pytest.mark.journey
def test_windows_and_dead_letters_equal_what_was_produced_when_the_aggregator_is_killed(
    stack, engineer, stream
):
    values: list[bytes | None] = [
        b"broken" if number % 100 == 0 else encoded(time.time(), vendor_id=str(number % 3))
        for number in range(N_EVENTS)
    ]
    n_dead = sum(value == b"broken" for value in values)
    part = len(values) // (N_KILLS + 1)
    for number in range(N_KILLS + 1):
        produce(stack, stream, values[number * part : (number + 1) * part], pause_s=0.03)
        if number < N_KILLS:
            stack.kill("aggregator")
    wait_for("every event", lambda: n_counted(engineer, stream) >= N_EVENTS - n_dead, timeout_s=60)
    time.sleep(3)  # what would be counted twice would come now
    assert n_counted(engineer, stream) == N_EVENTS - n_dead
    assert len(every(engineer, f"/streams/{stream}/dead-letters")) == n_dead
    sent = dead_on_topic(stack, f"{stream}.dead", n_dead)
    assert len({headers["atalaya.offset"] for headers, _ in sent}) == len(sent) == n_dead
    fares = sum(window["measures"]["fare_amount"] for window in every(engineer, f"/streams/{stream}/windows"))
    assert fares == pytest.approx(10.0 * (N_EVENTS - n_dead))


def test_a_topic_deleted_and_made_anew_is_counted_from_its_start(stack, engineer, stream):
    """It starts at offset 0 again: its messages are neither skipped nor taken for old ones."""
    produce(stack, stream, [encoded(time.time()) for _ in range(300)] + [b"old"])
    wait_for("the old topic", lambda: n_counted(engineer, stream) == 300, timeout_s=30)
    letters = f"/streams/{stream}/dead-letters"
    wait_for("its letter", lambda: len(every(engineer, letters)) == 1, timeout_s=30)
    admin = AdminClient(stack.kafka_config)

    def topic_id() -> str:
        try:
            return str(admin.describe_topics(TopicCollection([stream]))[stream].result(30).topic_id)
        except KafkaException:
            return ""

    old = topic_id()
    admin.delete_topics([stream])[stream].result(30)

    looker = Caller(stack, f"looker-{uuid.uuid4().hex[:6]}", "admin")

    def is_told() -> bool:
        found = ok(looker.get("/set-aside"))["results"]
        return any("was deleted" in row["reason"] for row in found if row["about"] == stream)

    wait_for("words of its deletion", is_told, timeout_s=60)
    assert topic_id() == "", "the console made it anew: that is for whoever deleted it"
    admin.create_topics([NewTopic(stream, 2)])[stream].result(30)
    wait_for("a new topic", lambda: topic_id() not in {"", old}, timeout_s=60)
    produce(
        stack, stream, [encoded(time.time()) for _ in range(300)] + [b"new"] + [encoded(time.time())] * 200
    )
    wait_for("the new topic", lambda: n_counted(engineer, stream) >= 800, timeout_s=60)
    time.sleep(3)  # what would be counted twice would come now
    assert n_counted(engineer, stream) == 800
    assert len(every(engineer, letters)) == 2  # both at offset 300


def test_a_dead_letter_sent_again_is_counted_once_it_fits(stack, engineer, stream):
    now = time.time()
    produce(stack, stream, [encoded(now, fare_amount="ten")])
    path = f"/streams/{stream}/dead-letters"
    [letter] = wait_for("the letter", lambda: ok(engineer.get(path))["results"], timeout_s=30)
    looser = json.loads(json.dumps(defaults.TAXI_TRIPS))
    fare = next(field for field in looser["fields"] if field["name"] == "fare_amount")
    fare["type"] = "text"
    looser["measures"] = []
    headers = {"Authorization": f"Bearer {engineer.token}"}
    url = f"{engineer._base}/streams/{stream}"
    ok(httpx.patch(url, headers=headers, json={"definition": looser}, timeout=30), 200)
    ok(engineer.post(f"{path}/{letter['id']}/redrive"), 202)
    wait_for("the event", lambda: n_counted(engineer, stream) == 1, timeout_s=60)
    assert engineer.post(f"{path}/{letter['id']}/redrive").status_code == 409


@pytest.mark.journey
def test_a_replay_sends_each_line_once_when_its_worker_is_killed(stack, engineer, stream):
    body = {"source": "nyc_taxi_ride_events.txt", "rate": 400, "topic": stream}
    replay = ok(engineer.post("/replays", body), 202)

    def now() -> dict[str, Any]:
        return ok(engineer.get(f"/replays/{replay['id']}"))

    wait_for("some lines", lambda: now()["n_sent"] > 300, timeout_s=60)
    stack.kill("worker")
    wait_for("the end", lambda: now()["state"] == "done", timeout_s=150)
    assert now()["n_sent"] == now()["n_total"] == 3000
    # Ride events are no taxi trips: each line of the file is a dead letter of this stream, once.
    letters = wait_for(
        "the letters",
        lambda: (
            (found := every(engineer, f"/streams/{stream}/dead-letters")) and len(found) >= 3000 and found
        ),
        timeout_s=30,
    )
    assert len(letters) == 3000
    assert len({letter["offset"] for letter in letters}) == 3000


def test_kafkas_own_topics_are_neither_listed_nor_read(stack: RunningStack, engineer: Caller) -> None:
    long_name, own = "x" * 240 + uuid.uuid4().hex[:9], f"__mine_{uuid.uuid4().hex[:8]}"
    admin = AdminClient(stack.kafka_config)
    assert "__consumer_offsets" in admin.list_topics(timeout=10).topics, "groups have committed here"
    for future in admin.create_topics([NewTopic(long_name, 1), NewTopic(own, 1)]).values():
        future.result(timeout=15)

    def names() -> set[str]:
        return {topic["name"] for topic in ok(engineer.get("/topics"))["results"]}

    wait_for("both topics", lambda: {long_name, own} <= names(), timeout_s=15)
    assert "__consumer_offsets" not in names()
    for path in ("", "/messages"):
        assert engineer.get(f"/topics/__consumer_offsets{path}").status_code == 404
        assert engineer.get(f"/topics/{own}{path}").status_code == 200
        assert engineer.get(f"/topics/{long_name}{path}").status_code == 200
