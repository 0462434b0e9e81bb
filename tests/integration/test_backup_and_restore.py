"""A stack backed up, and restored into an empty folder on other ports: what was there is there, and goes on.

`make test-restore`, outside `make test`: two small stacks one after the other, without Airflow, MLflow and
web, whose databases and files are backed up all the same.
"""

import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from stack import databases
from tests import running_stack
from tests.api import wait_for
from tests.running_stack import RunningStack

pytestmark = [
    pytest.mark.skipif(
        os.environ.get("CONSOLE_TEST_RESTORE") != "1", reason="`make test-restore` runs it: two more stacks"
    ),
    pytest.mark.timeout(900),
]
PASSPHRASE = "correct horse battery staple"
PARTS = "postgres,redis,kafka,recorder,aggregator"
N_ROWS, N_TRIPS, N_BAD = 25, 300, 3
ARTEFACT = bytes(range(256)) * 4000
# What nobody writes to while the test looks on.
STILL = (
    "predictions_prediction",
    "streaming_window",
    "models_registry_registeredmodel",
    "models_registry_modelversion",
    "models_registry_championperiod",
    "access_user",
    "audit_auditentry",
    "audit_auditseal",
    "django_migrations",
)
# A model with a champion, a few entries of the audit trail under seals, a row of the feature store.
SEED = """
import django; django.setup()
from core.audit import actions, sealing
from core.access.models import User
from core.lib import redis
from models_registry.models import ChampionPeriod, ModelVersion, RegisteredModel
user = User.objects.create_user("ana")
model = RegisteredModel.objects.create(name="titanic")
version = ModelVersion.objects.create(model=model, version=1, state="champion", served_sha256="a" * 64)
ChampionPeriod.objects.create(model=model, version=version, by=user)
for _number in range(20):
    actions.record("model.test", version, by=user)
sealing.seal_new()
redis.client().set("feature:row:user:v1:7", "old", ex=3600)
redis.client().set("other:key", "not kept")
"""
LOOK = """
import django; django.setup()
from core.lib import redis
client = redis.client()
print(sorted(client.keys("feature:*") + client.keys("other:*")), client.ttl("feature:row:user:v1:7") > 3000)
"""


@dataclass(frozen=True)
class Before:
    """The stack as it was backed up. head: of the audit trail, as `verify_audit` prints it."""

    file: Path
    ids: list[str]
    head: str
    rows: dict[str, list[str]]


def small(tmp_path_factory: pytest.TempPathFactory, name: str, *, ports_apart: int) -> RunningStack:
    return RunningStack(
        running_stack.environment(
            CONSOLE_VAR_DIR=str(tmp_path_factory.mktemp(name) / "var"),
            CONSOLE_PORT_BASE=str(running_stack.PORT_BASE + ports_apart),
            CONSOLE_BACKUP_PASSPHRASE=PASSPHRASE,
        )
    )


def done(stack: RunningStack, *arguments: str) -> str:
    """What a command that ends well prints."""
    found = stack.command(*arguments)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def query(stack: RunningStack, sql: str, *values: Any) -> list[Any]:
    """The first column."""
    connection = psycopg2.connect(databases.url(stack.config, "console"))
    with connection, connection.cursor() as cursor:
        cursor.execute(sql, values)
        found = [row[0] for row in cursor.fetchall()]
    connection.close()
    return found


def rows(stack: RunningStack) -> dict[str, list[str]]:
    return {
        table: sorted(
            json.dumps(row, sort_keys=True) for row in query(stack, f"SELECT to_jsonb(t) FROM {table} t")
        )
        for table in STILL
    }


def produce(stack: RunningStack, topic: str, values: list[str]) -> None:
    producer = Producer({**stack.kafka_config, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def predict(stack: RunningStack) -> list[str]:
    """Records as serving sends them; their ids."""
    found = []
    for number in range(N_ROWS):
        id_ = uuid.UUID(
            int=(int(time.time() * 1000) << 80) | (7 << 76) | (2 << 62) | number | uuid.uuid4().int >> 70
        )
        record = {"id": str(id_), "request_id": "r", "at": datetime.now(UTC).isoformat(), "model": "titanic"}
        record |= {
            "version": "1",
            "user_id": 1,
            "username": "ana",
            "source": "api",
            "row": number,
            "inputs": {},
        }
        record |= {"value": number, "label": None, "probabilities": None, "warnings": []}
        found.append(record)
    produce(stack, "predictions", [json.dumps(record) for record in found])
    return [str(record["id"]) for record in found]


def drive(stack: RunningStack) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    trip = {"vendor_id": "1", "pickup_datetime": when, "payment_type": "1"}
    trip |= {"trip_distance": 2.0, "fare_amount": 10.0, "tip_amount": 1.5}
    produce(stack, "taxi_trips", [json.dumps(trip)] * N_TRIPS + ["no trip"] * N_BAD)


def n_counted(stack: RunningStack) -> tuple[int, int]:
    """Trips in windows, and dead letters."""
    counted = query(
        stack,
        "SELECT coalesce(sum(w.count), 0)::int FROM streaming_window w"
        " JOIN streaming_stream s ON s.id = w.stream_id WHERE s.topic = 'taxi_trips'",
    )
    dead = query(stack, "SELECT count(*)::int FROM streaming_deadletter WHERE topic = 'taxi_trips'")
    return counted[0], dead[0]


def n_recorded(stack: RunningStack, ids: list[str]) -> int:
    return int(query(stack, "SELECT count(*) FROM predictions_prediction WHERE id = ANY(%s::uuid[])", ids)[0])


def committed(stack: RunningStack) -> set[int]:
    """Where the recorder is; below 0 where it has no position."""
    consumer = Consumer({**stack.kafka_config, "group.id": "atalaya-recorder", "enable.auto.commit": False})
    numbers = consumer.list_topics("predictions", timeout=10).topics["predictions"].partitions
    found = consumer.committed([TopicPartition("predictions", number) for number in numbers], timeout=10)
    consumer.close()
    return {max(place.offset, -1) for place in found}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Before]:
    """A small stack with something of everything, backed up while it runs; then it is gone."""
    stack = small(tmp_path_factory, "first", ports_apart=300)
    try:
        done(stack, "up", "--only", PARTS)
        done(stack, "python", "--", "-c", SEED)
        ids = predict(stack)
        drive(stack)
        wait_for("the records", lambda: n_recorded(stack, ids) == N_ROWS, timeout_s=60)
        wait_for("the count", lambda: n_counted(stack) == (N_TRIPS, N_BAD), timeout_s=60)
        model = stack.config.var_dir / "mlflow" / "artifacts" / "1" / "model.onnx"
        model.parent.mkdir(parents=True)
        model.write_bytes(ARTEFACT)
        head = re.search(r"Head: (\S+)", stack.manage("verify_audit"))
        assert head
        file = tmp_path_factory.mktemp("backup") / "a.zip"
        told = done(stack, "backup", str(file))
        assert "not recorded yet" not in told
        refused = stack.command("restore", str(file))
        assert (refused.returncode, "is there already" in refused.stderr) == (1, True)
        yield Before(file, ids, head[1], rows(stack))
    finally:
        stack.command("reset")


def test_a_restored_stack_is_what_it_was_and_goes_on(before, tmp_path_factory):
    stack = small(tmp_path_factory, "second", ports_apart=500)
    try:
        done(stack, "restore", str(before.file))
        done(stack, "up", "--only", "postgres,redis,kafka")
        assert rows(stack) == before.rows
        assert all(before.rows.values())
        assert committed(stack) == {-1}
        assert (stack.config.var_dir / "mlflow" / "artifacts" / "1" / "model.onnx").read_bytes() == ARTEFACT
        told = stack.manage("verify_audit", "--head", before.head)
        assert f"The noted seal {before.head.split(':')[0]} is in the chain." in told
        assert "['feature:row:user:v1:7'] True" in done(stack, "python", "--", "-c", LOOK)
        ids = predict(stack)  # nobody records yet: they wait in a topic that begins at 0
        drive(stack)
        done(stack, "up", "--only", PARTS)
        wait_for("the records", lambda: n_recorded(stack, ids) == N_ROWS, timeout_s=60)
        wait_for("the count", lambda: n_counted(stack) >= (2 * N_TRIPS, 2 * N_BAD), timeout_s=60)
        time.sleep(3)  # whatever would be counted twice has been by then
        assert n_counted(stack) == (2 * N_TRIPS, 2 * N_BAD)
        assert n_recorded(stack, before.ids) == N_ROWS
        assert query(stack, "SELECT count(*) FROM predictions_prediction") == [2 * N_ROWS]
    finally:
        stack.command("reset")
