"""Records from answer to row on a real broker and database: nothing twice, nothing lost, deaths included."""

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from django.conf import settings as django_settings
from django.db import connection

from core.access.models import User
from core.lib import kafka
from core.lib.models import SetAside
from predictions import actions, ingestion, topics, unfit
from predictions.errors import NotRecorded
from predictions.models import Prediction
from predictions.serving import snapshot
from predictions.serving.service import Service
from stack.config import REPO
from tests import champions
from tests.api import wait_for
from tests.champions import KEY, ROW, FakeSource
from tests.people import make_user

pytestmark = pytest.mark.django_db(transaction=True)

DEADLY = """
import os, signal, sys
from predictions.recorder import Recorder

def die(self):
    os.kill(os.getpid(), signal.SIGKILL)

Recorder._commit = die
"""


@pytest.fixture
def topic(on_the_stack, settings) -> str:
    """A topic of this test's own, with its dead letters'."""
    settings.CONSOLE_PREDICTIONS_TOPIC = f"test-{uuid.uuid4().hex[:12]}"
    topics.ensure()
    return settings.CONSOLE_PREDICTIONS_TOPIC


@pytest.fixture
def running(topic, tmp_path) -> Iterator[Service]:
    """A serving process's machinery with a real producer."""
    source = FakeSource()
    source.promote("1", champions.packed())
    made = Service(tmp_path, source, topic)
    made.writer.start()
    made.refresher.refresh()
    yield made
    made.writer.close()


def predict(service: Service, n_rows: int) -> list[str]:
    """Ids of the answered rows."""
    answer = asyncio.run(
        service.engine.predict(
            service.engine.champion("titanic"),
            lambda served: served.decoder.decode_rows([ROW] * n_rows),
            champions.grant().caller,
            source="api",
        )
    )
    return [given["id"] for given in answer.predictions]


def environment(topic: str) -> dict[str, str]:
    """For a process of its own: this test's database and topic, the stack's Kafka and Redis."""
    database = connection.settings_dict
    url = f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}"
    return {
        **os.environ,
        "CONSOLE_DATABASE_URL": url,
        "CONSOLE_REDIS_URL": django_settings.CONSOLE_REDIS_URL,
        "CONSOLE_KAFKA_BOOTSTRAP": django_settings.CONSOLE_KAFKA_BOOTSTRAP,
        "CONSOLE_KAFKA_CONFIG": json.dumps(django_settings.CONSOLE_KAFKA_CONFIG),
        "CONSOLE_PREDICTIONS_TOPIC": topic,
        "CONSOLE_RECORD_SECRETS": django_settings.CONSOLE_RECORD_SECRETS,
        "PYTHONPATH": str(REPO),
    }


def recorder(topic: str, *, prelude: str = "") -> subprocess.Popen[bytes]:
    """`manage.py record_predictions` for the topic, in a consumer group of its own."""
    code = f"""
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
import django
django.setup()
import predictions.recorder
predictions.recorder.Recorder.__init__.__kwdefaults__["group"] = {topic!r}
{prelude}
from django.core.management import call_command
call_command("record_predictions")
"""
    return subprocess.Popen([sys.executable, "-c", code], env=environment(topic), cwd=REPO)


@contextmanager
def recording_of(topic: str) -> Iterator[None]:
    process = recorder(topic)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(20) == 0


def wait_for_rows(n_rows: int, *, timeout_s: float = 30) -> None:
    give_up_at = time.monotonic() + timeout_s
    while Prediction.objects.count() < n_rows and time.monotonic() < give_up_at:
        time.sleep(0.1)
    assert Prediction.objects.count() == n_rows


def test_every_answered_row_is_recorded_once(running, topic):
    ids = predict(running, 500) + predict(running, 1)
    with recording_of(topic):
        wait_for_rows(501)
    assert {str(pk) for pk in Prediction.objects.values_list("pk", flat=True)} == set(ids)


@pytest.mark.journey
def test_a_recorder_killed_between_insert_and_commit_records_nothing_twice(running, topic):
    ids = predict(running, 300)
    doomed = recorder(topic, prelude=DEADLY)
    assert doomed.wait(60) == -9
    assert Prediction.objects.count() > 0  # it had inserted
    ids += predict(running, 200)
    with recording_of(topic):
        wait_for_rows(500)
        time.sleep(1)
    assert {str(pk) for pk in Prediction.objects.values_list("pk", flat=True)} == set(ids)


def test_what_is_no_record_lands_beside_the_topic(running, topic):
    from confluent_kafka import Consumer, Producer

    producer = Producer(kafka.producer_config())
    producer.produce(topic, b"surprise")
    assert producer.flush(10) == 0
    predict(running, 1)
    with recording_of(topic):
        wait_for_rows(1)
        wait_for("what is set aside", SetAside.objects.exists, timeout_s=30)
    consumer = Consumer(kafka.consumer_config(f"{topic}-reader"))
    consumer.subscribe([f"{topic}.dead"])
    letter = consumer.consume(1, 20)[0]
    consumer.close()
    assert letter.value() == b"surprise"
    row = SetAside.objects.get()
    assert dict(letter.headers())["place"].decode() == row.key
    assert dict(letter.headers())["reason"].decode() == row.reason


def test_a_place_in_kafka_gives_its_message_or_says_that_it_is_gone(topic):
    from confluent_kafka import Producer, TopicPartition

    producer = Producer(kafka.producer_config())
    producer.produce(topic, b"surprise", partition=2)
    assert producer.flush(10) == 0
    found = unfit.read_at(TopicPartition(topic, 2, 0))
    assert found is not None
    assert found.value() == b"surprise"
    assert unfit.place(found) == f"{topic}/2/0"
    assert unfit.read_at(TopicPartition(topic, 2, 1)) is None
    assert unfit.read_at(TopicPartition(f"{topic}-unknown", 0, 0)) is None


def test_kafka_shows_neither_who_asked_nor_what_and_an_erased_one_stays_away(running, topic):
    erased, kept = predict(running, 2)
    (message,) = everything(topic, 1)
    lines = ingestion.lines(unfit.place(message), message.value())
    for content in lines.values():
        for text in (b"ana", b"male", b"Embarked", b"7.25"):
            assert text not in content
    assert ingestion.handle(lines).n_rows == 2
    Prediction.objects.update(user_id=make_user("ana", "predictor").pk)
    actions.erase_prediction(uuid.UUID(erased), by=User.objects.get(username="ana"))
    with recording_of(topic):
        predict(running, 1)
        wait_for_rows(2)
    ids = {str(pk) for pk in Prediction.objects.values_list("pk", flat=True)}
    assert kept in ids
    assert erased not in ids


def everything(topic: str, n_messages: int) -> list:
    from confluent_kafka import Consumer

    consumer = Consumer(kafka.consumer_config(f"{topic}-reader"))
    consumer.subscribe([topic])
    found = consumer.consume(n_messages, 30)
    consumer.close()
    return found


def test_calls_of_several_event_loops_are_all_answered(running):
    """As Django's threads make them, beside the loop of the server."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _n: predict(running, 1), range(64)))
    assert len({id_ for ids in answers for id_ in ids}) == 64
    assert running.engine.in_flight == 0


@pytest.mark.journey
def test_a_broker_that_is_away_gives_the_ids_and_marks_them_later(running, topic, settings, tmp_path):
    answered = predict(running, 2)
    real = settings.CONSOLE_KAFKA_BOOTSTRAP
    settings.CONSOLE_KAFKA_BOOTSTRAP = "127.0.0.1:1"
    away = Service(tmp_path / "away", running.refresher._source, topic)
    away.writer.start()
    away.refresher.refresh()
    with pytest.raises(NotRecorded) as refused:
        predict(away, 2)
    assert away.refresher._unanswered.send() == 0  # still away: they are kept
    settings.CONSOLE_KAFKA_BOOTSTRAP = real
    wait_for("both marks sent", lambda: away.refresher._unanswered.send() == 2, timeout_s=30)
    # The same ids arrive after all, as from a broker that took them and could not say so.
    late = [record(id_) for id_ in refused.value.ids]
    asyncio.run(running.writer.write(late, refused.value.ids))
    with recording_of(topic):
        wait_for_rows(4)
        marked = Prediction.objects.filter(is_answered=False)
        wait_for("both marks", lambda: marked.count() == 2, timeout_s=30)
    unanswered = {str(pk) for pk in Prediction.objects.filter(is_answered=False).values_list("pk", flat=True)}
    assert unanswered == set(refused.value.ids)
    assert not unanswered & set(answered)


def record(id_: str) -> bytes:
    from tests.unit.predictions.test_ingestion import message

    return message(uuid.UUID(id_))


def test_a_serving_process_starts_from_disk_alone(running, topic, tmp_path):
    """Neither PostgreSQL nor MLflow nor Redis answers; Kafka does."""
    folder = tmp_path / "var" / "serving"
    folder.mkdir(parents=True)
    for path in tmp_path.glob("*.*"):
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    assert snapshot.read(folder / "champions.json", snapshot.Crowned) is not None
    port = django_settings.CONSOLE_PORT_BASE + 61
    with serving(topic, tmp_path / "var", port) as url:
        headers = {"Authorization": f"Bearer {KEY}"}
        address = f"{url}/api/v1/models/titanic/predict"
        answer = httpx.post(address, json={"rows": [ROW]}, headers=headers, timeout=30)

        def has_looked():
            found = httpx.get(f"{url}/readyz", timeout=30)
            return found if found.json()["source"] == "failing" else None

        ready = wait_for("a first look", has_looked, timeout_s=30)
    assert answer.status_code == 200, answer.text
    assert ready.json()["models"] == {"titanic": "1"}


@contextmanager
def serving(topic: str, var_dir: Path, port: int) -> Iterator[str]:
    away = {
        "CONSOLE_VAR_DIR": str(var_dir),
        "CONSOLE_DATABASE_URL": "postgresql://nobody:none@127.0.0.1:1/none",
        "CONSOLE_MLFLOW_URL": "http://127.0.0.1:1",
        "CONSOLE_REDIS_URL": "redis://:none@127.0.0.1:1/0",
    }
    command = [sys.executable, "-m", "uvicorn", "predictions.serving:app", "--port", str(port)]
    process = subprocess.Popen(command, env=environment(topic) | away, cwd=REPO)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "the serving process ended"
        try:
            if httpx.get(f"{url}/livez").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the serving process does not answer")
