"""The stream of trips on a real Kafka: a driver is killed, a topic deleted, a checkpoint is another's."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.api import Caller, ok, wait_for
from tests.integration.real_jobs import driver, wait_until
from tests.running_stack import RunningStack

START = datetime(2024, 1, 1, 12)
N_FIRST, N_SECOND, N_BAD = 4_000, 2_000, 5
VENDORS = ("1", "2")
STARTS_WITHIN_S = 240  # a cold JVM and Spark's first batch, where everything else wants the two cores, too
LENGTH, SLIDE = timedelta(minutes=10), timedelta(minutes=5)

pytestmark = [pytest.mark.journey, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def engineer(stack: RunningStack) -> Caller:
    return Caller(stack, f"streams-{uuid.uuid4().hex[:6]}", "engineer")


@pytest.fixture
def topic(stack: RunningStack) -> Iterator[str]:
    name = f"trips-{uuid.uuid4().hex[:8]}"
    make_topic(stack, name)
    yield name
    delete_topics(stack, name, f"{name}.dead", f"{name}-windows")


def make_topic(stack: RunningStack, name: str) -> None:
    admin = AdminClient(stack.kafka_config)  # kept until the end: calls under way die with it
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(30)


def delete_topics(stack: RunningStack, *names: str) -> None:
    """Those that are there."""
    admin = AdminClient(stack.kafka_config)
    for future in admin.delete_topics(list(names)).values():
        error = future.exception(30)
        assert error is None or error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART, error


def pickup(number: int) -> datetime:
    """One trip every three seconds."""
    return START + timedelta(seconds=3 * number)


def produce(stack: RunningStack, topic: str, numbers: range, *, n_bad: int = 0) -> None:
    producer = Producer(stack.kafka_config | {"linger.ms": 5})
    for number in numbers:
        trip = {
            "vendor_id": VENDORS[number % 2],
            "pickup_datetime": f"{pickup(number):%Y-%m-%d %H:%M:%S}",
            "trip_distance": 1.0,
            "payment_type": "card",
            "fare_amount": 10.0,
            "tip_amount": 1.0,
        }
        # In order on one partition: another that is behind would be late.
        producer.produce(topic, json.dumps(trip).encode(), partition=0)
        producer.poll(0)
    for number in range(n_bad):
        producer.produce(topic, f"no trip {number}".encode(), partition=1)
    assert producer.flush(60) == 0


def expected(numbers: range, *, before: datetime) -> dict[tuple[str, str], int]:
    """Trips of each window that ends by `before`, by its start and vendor."""
    found: Counter[tuple[str, str]] = Counter()
    for number in numbers:
        first = pickup(number).replace(second=0, microsecond=0)
        first -= timedelta(minutes=first.minute % 5)
        for start in (first, first - SLIDE):
            if start + LENGTH <= before:
                found[f"{start:%Y-%m-%d %H:%M:%S}", VENDORS[number % 2]] += 1
    return dict(found)


def submit(engineer: Caller, topic: str, name: str, **params: Any) -> str:
    body = {
        "app": "stream_trips",
        "params": {"topic": topic, "name": name, "every_s": 1, "lateness_min": 0, **params},
    }
    return str(ok(engineer.post("/jobs", body), 202)["id"])


def rows_of(engineer: Caller, job_id: str, query: str) -> int:
    progress = ok(engineer.get(f"/jobs/{job_id}"))["progress"] or {"queries": []}
    return next((one["rows"] for one in progress["queries"] if one["name"] == query), 0)


def messages(stack: RunningStack, topic: str) -> list[Any]:
    """All of a topic, to its end now."""
    settings = {"group.id": uuid.uuid4().hex, "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer(stack.kafka_config | settings)
    open_ones = set(consumer.list_topics(topic, 30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in open_ones])
    found: list[Any] = []
    deadline = time.monotonic() + 60
    while open_ones:
        assert time.monotonic() < deadline, f"no end of {topic}"
        for one in consumer.consume(1000, 0.5):
            if one.error() is None:
                found.append(one)
            elif one.error().code() == KafkaError._PARTITION_EOF:
                open_ones.discard(one.partition())
    consumer.close()
    return found


def test_windows_are_exactly_once_in_parquet_and_at_least_once_in_kafka(stack, engineer, topic):
    name, sink = topic, f"{topic}-windows"
    produce(stack, topic, range(N_FIRST), n_bad=N_BAD)
    job_id = submit(engineer, topic, name, sink_topic=sink)
    wait_for("first rows", lambda: rows_of(engineer, job_id, "windows") > 0, timeout_s=STARTS_WITHIN_S)
    produce(stack, topic, range(N_FIRST, N_FIRST + N_SECOND // 2))
    java = driver(stack, job_id)
    assert java is not None
    java.kill()
    assert wait_until(engineer, job_id, "failed", "lost", timeout_s=60)["error"]
    produce(stack, topic, range(N_FIRST + N_SECOND // 2, N_FIRST + N_SECOND))

    second = str(ok(engineer.post(f"/jobs/{job_id}/restart", {}), 202)["id"])
    last = range(N_FIRST + N_SECOND, N_FIRST + N_SECOND + 1)
    produce(stack, topic, last)
    end = pickup(last[0])
    wanted = expected(range(N_FIRST + N_SECOND), before=end)
    folder = Path(stack.env["CONSOLE_OUTPUT_DIR"]) / "stream_trips" / "streams" / name / "windows"
    wait_for("all windows", lambda: len(table(folder)) >= len(wanted), timeout_s=STARTS_WITHIN_S)

    answer = engineer.post("/jobs", {"app": "stream_trips", "params": {"topic": topic, "name": name}})
    assert answer.status_code == 409
    assert "works with the checkpoint" in answer.json()["detail"]
    ok(engineer.post(f"/jobs/{second}/cancel", {}), 202)
    job = wait_until(engineer, second, "cancelled", "failed", "lost")
    assert (job["state"], job["error"], job["exit_code"]) == ("cancelled", "", 0)
    assert job["result"]["checkpoint"] == name
    assert job["progress"]["queries"][0]["watermark"].startswith(f"{end:%Y-%m-%dT%H:%M:%S}")

    rows = table(folder)
    found = Counter((row["start"], row["vendor_id"]) for row in rows)
    assert set(found.values()) == {1}
    assert {(row["start"], row["vendor_id"]): row["trips"] for row in rows} == wanted
    sent = Counter()
    for message in messages(stack, sink):
        value = json.loads(message.value())
        assert value["trips"] == wanted[value["start"], value["vendor_id"]]
        sent[value["start"], value["vendor_id"]] += 1
    assert sent.keys() == wanted.keys()
    dead = messages(stack, f"{topic}.dead")
    assert {message.value() for message in dead} == {f"no trip {number}".encode() for number in range(N_BAD)}
    headers = dict(dead[0].headers())
    assert (headers["atalaya.reason"], headers["atalaya.topic"]) == (
        b"it is not one JSON object",
        topic.encode(),
    )


def table(folder: Path) -> list[dict[str, Any]]:
    """The rows that count: those of files that the sink's log lists, as Spark reads them."""
    listed = {
        Path(json.loads(line)["path"]).name
        for log in (folder / "_spark_metadata").glob("[0-9]*")
        for line in log.read_text().splitlines()[1:]
    }
    if not listed:
        return []
    files = [str(folder / name) for name in listed]
    rows = pyarrow.dataset.dataset(files).to_table().to_pylist()
    return [row | {"start": f"{row['start']:%Y-%m-%d %H:%M:%S}"} for row in rows]


def test_jobs_beside_each_other_end_each_as_it_should(stack, engineer, topic):
    """One whose topic is deleted, one that stops at the end of its topic, one with another's checkpoint."""
    whole = f"{topic}-whole"
    make_topic(stack, whole)
    produce(stack, topic, range(10))
    produce(stack, whole, range(10))
    bereft = submit(engineer, topic, topic)
    at_end = submit(engineer, whole, whole, stops_at_end=True)
    wait_for("first rows", lambda: rows_of(engineer, bereft, "windows") > 0, timeout_s=STARTS_WITHIN_S)
    delete_topics(stack, topic)
    job = wait_until(engineer, bereft, "failed", "lost", "cancelled", timeout_s=120)
    assert job["state"] == "failed"
    assert f"The topic {topic} is not there" in job["error"]

    job = wait_until(engineer, at_end, "succeeded", "failed", "lost", timeout_s=STARTS_WITHIN_S)
    assert (job["state"], job["error"]) == ("succeeded", "")
    other = submit(engineer, whole, whole, stops_at_end=True, lateness_min=5)
    job = wait_until(engineer, other, "succeeded", "failed", "lost")
    assert job["state"] == "failed"
    assert "is another query's: lateness_min was 0 and is 5" in job["error"]
    delete_topics(stack, whole, f"{whole}.dead")
