"""A backup of the running stack, restored into an empty folder on other ports: what was there is there again.

`make test` restores and looks into the databases; `make test-restore` also starts the restored stack, and
goes on with it: what is predicted and produced then is recorded and counted once.
"""

import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stack import databases
from streaming import defaults
from tests import running_stack
from tests.api import Caller, ok, wait_for
from tests.first_path import PASSENGER, FirstPath
from tests.running_stack import RunningStack

PASSPHRASE = "correct horse battery staple"
PORTS_APART = 500
N_ROWS, N_TRIPS, N_BAD = 25, 300, 3
STARTS_THE_RESTORED = pytest.mark.skipif(
    os.environ.get("CONSOLE_TEST_RESTORE") != "1", reason="`make test-restore` starts the restored stack too"
)
# Tables that nobody writes to while the tests look on, with the order that makes their rows comparable.
STILL = {
    "console": [
        "predictions_prediction",
        "streaming_window",
        "streaming_deadletter",
        "models_registry_modelversion",
        "models_registry_championperiod",
        "models_registry_gaterun",
        "access_user",
        "access_apitoken",
        "audit_auditseal",
        "django_migrations",
    ],
    "usecases": ["usecases_batch", "usecases_cleanrow", "usecases_decision"],
    "mlflow": ["runs", "metrics", "params", "model_versions", "registered_model_aliases"],
    "airflow": ["dag_run", "task_instance", "dag"],
}
# Offsets of the old Kafka, and what its workers note all the time.
LEFT_OUT = {"dead_partition", "dead_offset", "last_used_at", "last_parsed_time", "next_dagrun", "updated_at"}


@dataclass(frozen=True)
class Before:
    """The stack as it was when it was backed up. head: of the audit trail, as `verify_audit` prints it."""

    file: Path
    stream: str
    predicted: list[dict[str, Any]]
    n_counted: int
    head: str
    rows: dict[str, list[str]]


def table_rows(stack: RunningStack) -> dict[str, list[str]]:
    """All rows of the still tables as text, by database and table."""
    found = {}
    for database, tables in STILL.items():
        connection = psycopg2.connect(databases.url(stack.config, database))
        with connection, connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"SELECT to_jsonb(t) FROM {table} t")
                rows = [{key: row[key] for key in row.keys() - LEFT_OUT} for (row,) in cursor.fetchall()]
                found[f"{database}.{table}"] = sorted(json.dumps(row, sort_keys=True) for row in rows)
        connection.close()
    return found


def predict(stack: RunningStack, token: str, n_rows: int) -> list[dict[str, Any]]:
    rows = [{**PASSENGER, "Age": 20 + number} for number in range(n_rows)]
    answer = httpx.post(
        f"{stack.url}/api/v1/models/titanic/predict",
        json={"rows": rows},
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    return list(ok(answer)["predictions"])


def produce(stack: RunningStack, topic: str, n_sound: int, n_bad: int) -> None:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    trip = {"vendor_id": "1", "pickup_datetime": when, "payment_type": "1"}
    trip |= {"trip_distance": 2.0, "fare_amount": 10.0, "tip_amount": 1.5}
    producer = Producer({**stack.kafka_config, "acks": "all"})
    for value in [json.dumps(trip)] * n_sound + ["no trip"] * n_bad:
        producer.produce(topic, value)
    assert producer.flush(30) == 0


def one(stack: RunningStack, sql: str, *values: Any) -> Any:
    connection = psycopg2.connect(databases.url(stack.config, "console"))
    with connection, connection.cursor() as cursor:
        cursor.execute(sql, values)
        (found,) = cursor.fetchone()
    connection.close()
    return found


def n_counted(stack: RunningStack, stream: str) -> int:
    sql = """SELECT coalesce(sum(w.count), 0)::int FROM streaming_window w
             JOIN streaming_stream s ON s.id = w.stream_id WHERE s.name = %s"""
    return int(one(stack, sql, stream))


def n_dead(stack: RunningStack, stream: str) -> int:
    sql = """SELECT count(*) FROM streaming_deadletter d
             JOIN streaming_stream s ON s.id = d.stream_id WHERE s.name = %s"""
    return int(one(stack, sql, stream))


def n_recorded(stack: RunningStack, ids: list[str]) -> int:
    return int(one(stack, "SELECT count(*) FROM predictions_prediction WHERE id = ANY(%s::uuid[])", ids))


def with_passphrase(stack: RunningStack, **more: str) -> RunningStack:
    return RunningStack({**stack.environ, "CONSOLE_BACKUP_PASSPHRASE": PASSPHRASE, **more})


@pytest.fixture(scope="module")
def before(stack: RunningStack, path: FirstPath, tmp_path_factory: pytest.TempPathFactory) -> Before:
    """Something of everything, then a backup."""
    engineer = Caller(stack, f"engineer-{uuid.uuid4().hex[:6]}", "engineer")
    stream = f"trips_{uuid.uuid4().hex[:8]}"
    ok(engineer.post("/streams", {"name": stream, "topic": stream, "definition": defaults.TAXI_TRIPS}), 201)
    predicted = predict(stack, path.predictor.token, N_ROWS)
    wait_for("the topic", lambda: engineer.get(f"/topics/{stream}").status_code == 200, timeout_s=30)
    produce(stack, stream, N_TRIPS, N_BAD)
    wait_for("the count", lambda: n_counted(stack, stream) == N_TRIPS, timeout_s=30)
    wait_for("the dead letters", lambda: n_dead(stack, stream) == N_BAD, timeout_s=30)
    file = tmp_path_factory.mktemp("backup") / "a.zip"
    told = stack.manage("verify_audit")
    head = re.search(r"Head: (\S+)", told)
    assert head, told
    done = with_passphrase(stack).command("backup", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not recorded yet" not in done.stdout
    return Before(file, stream, predicted, n_counted(stack, stream), head[1], table_rows(stack))


@pytest.fixture(scope="module")
def restored(
    stack: RunningStack, before: Before, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningStack]:
    """The same in another folder on other ports, not started."""
    more = {
        "CONSOLE_VAR_DIR": str(tmp_path_factory.mktemp("restored") / "var"),
        "CONSOLE_PORT_BASE": str(running_stack.PORT_BASE + PORTS_APART),
    }
    other = with_passphrase(stack, **more)
    try:
        done = other.command("restore", str(before.file))
        assert done.returncode == 0, done.stdout + done.stderr
        yield other
    finally:
        other.command("reset")


def test_a_backup_never_goes_into_a_stack_that_is_there(stack, before):
    done = with_passphrase(stack).command("restore", str(before.file))
    assert done.returncode == 1
    assert "is there already" in done.stderr


def test_rows_artefacts_and_topics_are_what_they_were(stack, before, restored):
    done = restored.command("up", "--only", "postgres,kafka")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        now = table_rows(restored)
        differing = {name for name, rows in before.rows.items() if sorted(rows) != sorted(now[name])}
        assert differing == set()
        assert {"console.predictions_prediction", "console.audit_auditseal"} <= {
            name for name, rows in now.items() if rows
        }
        assert topics(restored) >= {before.stream, f"{before.stream}.dead", "predictions"}
        assert ends(restored, "predictions") == {0}
        assert artefacts(restored) == artefacts(stack)
    finally:
        restored.down()


def topics(stack: RunningStack) -> set[str]:
    return set(AdminClient(stack.kafka_config).list_topics(timeout=10).topics)


def ends(stack: RunningStack, topic: str) -> set[int]:
    consumer = Consumer({**stack.kafka_config, "group.id": "test-ends"})
    numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    found = {
        consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in numbers
    }
    consumer.close()
    return found


def artefacts(stack: RunningStack) -> dict[str, int]:
    folder = stack.config.var_dir / "mlflow" / "artifacts"
    return {
        str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()
    }


@STARTS_THE_RESTORED
def test_the_restored_stack_goes_on(before, restored, path):
    restored.up()
    token = path.predictor.token
    told = restored.manage("verify_audit", "--head", before.head)
    assert f"The noted seal {before.head.split(':')[0]} is in the chain." in told
    wait_for("the champion", lambda: answers(restored, token), timeout_s=60)
    again = predict(restored, token, N_ROWS)
    assert [found["probabilities"] for found in again] == [
        found["probabilities"] for found in before.predicted
    ]
    ids = [found["id"] for found in again]
    wait_for("the records", lambda: n_recorded(restored, ids) == N_ROWS, timeout_s=30)
    assert n_recorded(restored, [found["id"] for found in before.predicted]) == N_ROWS
    produce(restored, before.stream, N_TRIPS, N_BAD)
    wait_for("the count", lambda: n_counted(restored, before.stream) >= 2 * N_TRIPS, timeout_s=60)
    time.sleep(3)  # whatever would be counted twice has been by then
    assert n_counted(restored, before.stream) == 2 * N_TRIPS
    assert n_dead(restored, before.stream) == 2 * N_BAD
    doctor = json.loads(restored.command("doctor", "--json").stdout)
    wrong = {finding["name"]: finding["words"] for finding in doctor if not finding["is_well"]}
    assert wrong.keys() <= {"disk", "aside"}, wrong


def answers(stack: RunningStack, token: str) -> bool:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{stack.url}/api/v1/models/titanic/predict"
    return httpx.post(url, json={"rows": [PASSENGER]}, headers=headers, timeout=10).status_code == 200
