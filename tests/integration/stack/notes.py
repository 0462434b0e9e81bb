"""A note left in every server of a stack, to see afterwards who still knows it."""

import time
from contextlib import closing

import psycopg2
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stack import databases
from tests.running_stack import RunningStack

REDIS_WRITES_ITS_LOG_EVERY_S = 1.0
EXPERIMENTS = "api/2.0/mlflow/experiments"


def write_everywhere(stack: RunningStack, note: str) -> None:
    with closing(psycopg2.connect(databases.url(stack.config, "usecases"))) as connection, connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE IF NOT EXISTS notes (note text)")
        cursor.execute("INSERT INTO notes VALUES (%s)", [note])
    _produce(stack, note)
    with stack.mlflow_client() as client:
        client.post(f"/{EXPERIMENTS}/create", json={"name": note}).raise_for_status()
    with redis.Redis.from_url(stack.env["CONSOLE_REDIS_URL"]) as client:
        client.set(note, "here")
    time.sleep(REDIS_WRITES_ITS_LOG_EVERY_S + 0.2)


def read_everywhere(stack: RunningStack, note: str) -> set[str]:
    """The servers that know the note."""
    readers = {"postgres": _in_postgres, "redis": _in_redis, "kafka": _in_kafka, "mlflow": _in_mlflow}
    return {name for name, knows in readers.items() if knows(stack, note)}


def _produce(stack: RunningStack, note: str) -> None:
    admin = AdminClient(stack.kafka_config)
    for future in admin.create_topics([NewTopic(note, 1, 1)]).values():
        future.result(20)
    producer = Producer({**stack.kafka_config, "acks": "all"})
    producer.produce(note, note.encode())
    assert producer.flush(20) == 0


def _in_postgres(stack: RunningStack, note: str) -> bool:
    with closing(psycopg2.connect(databases.url(stack.config, "usecases"))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT 1 FROM notes WHERE note = %s", [note])
        return cursor.fetchone() is not None


def _in_redis(stack: RunningStack, note: str) -> bool:
    with redis.Redis.from_url(stack.env["CONSOLE_REDIS_URL"]) as client:
        return client.get(note) == b"here"


def _in_kafka(stack: RunningStack, note: str) -> bool:
    consumer = Consumer({**stack.kafka_config, "group.id": note})
    with closing(consumer):
        consumer.assign([TopicPartition(note, 0, 0)])
        message = consumer.poll(20)
        return message is not None and message.value() == note.encode()


def _in_mlflow(stack: RunningStack, note: str) -> bool:
    query = {"experiment_name": note}
    with stack.mlflow_client() as client:
        return client.get(f"/{EXPERIMENTS}/get-by-name", params=query).is_success
