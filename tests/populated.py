"""A console with one of everything, every service a fake, and somebody signed in who may do all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console import health
from core.access import policy
from core.alerts import actions as alerts
from core.alerts import deliveries, sealing
from core.alerts.models import Channel
from core.audit import actions as audit
from core.lib.errors import NotFound
from core.lib.files import write_whole
from core.lib.ids import uuid7
from dags.recipes.common.feature_store import Features, Version
from jobs.models import Job, JobSchedule
from models_registry import gateway as mlflow_gateway
from models_registry.states import VersionState
from pipelines import gateway as airflow_gateway
from pipelines.models import AlertRule, Asset, Preset
from predictions import ingestion
from predictions.batch_models import PredictionBatch
from predictions.batches import files as batch_files
from predictions.batches import parts
from predictions.serving import service as serving
from predictions.serving.service import Service
from streaming import gateway as kafka_gateway
from streaming import topic_actions
from streaming.kafka_types import Messages, Partition, Read, Topic
from streaming.models import Anomaly, DeadLetter, Replay, RuleState, Window
from tests import champions
from tests.fakes.airflow import FakeAirflow
from tests.fakes.kafka import Broker
from tests.fakes.mlflow import FakeMlflow
from tests.people import make_token, make_user, signed_in
from tests.pipeline_rows import make_backfill, make_pipeline, make_question, make_run, make_task
from tests.registry import make_champion, make_gate, make_request, make_version
from tests.registry import make_run as make_mlflow_run
from tests.unit.predictions.conftest import FakeBroker
from tests.unit.predictions.test_ingestion import message
from tests.unit.streaming.events import make_stream
from usecases import gateway as features_gateway
from usecases.models import Batch

NAME = "titanic"  # of pipeline, model, experiment, topic and stream alike


class FakeKafka:
    """One topic with one message."""

    topic_ = Topic(NAME, [Partition(0, 0, 1, 1, 1, 1)])

    def topics(self) -> list[Topic]:
        return [self.topic_]

    def topic(self, name: str) -> Topic:
        if name != NAME:
            raise NotFound(f"There is no topic {name}.")
        return self.topic_

    def ranges(self, names: Any) -> dict[tuple[str, int], tuple[int, int]]:
        return {(NAME, 0): (0, 1)} if NAME in names else {}

    def names(self) -> set[str]:
        return {NAME}

    def at_time(self, topic: Topic, at_ms: int) -> dict[int, int]:
        return {0: -1}

    def message(self, topic: str, partition: int, offset: int) -> Read | None:
        return None

    def messages(self, name: str, *, start: Any, limit: int) -> Messages:
        self.topic(name)
        return Messages([Read(0, 0, 0, None, b"\xff", [])])


class FakeFeatures:
    """One row of one version."""

    row = Features(
        NAME, "1", "1", datetime(2026, 1, 1, tzinfo=UTC), datetime(2126, 1, 1, tzinfo=UTC), {"a": 1}
    )

    def versions(self, entity: str) -> list[Version]:
        return [Version(NAME, "1", {"a": "integer"}, self.row.event_at, 1)] if entity == NAME else []

    def features(self, entity: str, id_: str, *, version: str = "") -> Features:
        if (entity, id_, version or "1") != (NAME, "1", "1"):
            raise NotFound("There is no such row.")
        return self.row

    def page(self, version: Version, *, first: int, n: int) -> list[Features]:
        return [self.row][first : first + n]


def fakes(monkeypatch: pytest.MonkeyPatch, settings: Any, folder: Path) -> FakeMlflow:
    """No service is asked, nothing is sent, files are the test's own."""
    mlflow, kafka = FakeMlflow(), FakeKafka()
    monkeypatch.setattr(mlflow_gateway, "connect", lambda: mlflow)
    monkeypatch.setattr(kafka_gateway, "connect", lambda: kafka)
    broker = Broker()  # for what changes topics and groups
    broker.install(monkeypatch)
    broker.add(NAME)
    broker.numbers[NAME, NAME, 0] = 0
    monkeypatch.setattr(topic_actions, "SEEN_WITHIN_S", 0)  # one that is made never joins that topic
    airflow = FakeAirflow()

    def connect(username: str = "system:console", role: str = "viewer") -> FakeAirflow:
        return airflow.as_user(username, role)

    monkeypatch.setattr(airflow_gateway, "connect", connect)
    monkeypatch.setattr(features_gateway, "connect", FakeFeatures)
    monkeypatch.setattr("core.lib.live._send", lambda topic, body: None)
    monkeypatch.setattr("models_registry.ledger._wake_serving", lambda model_name: None)
    monkeypatch.setattr(health, "report", list)
    settings.CONSOLE_VAR_DIR = folder
    settings.CONSOLE_OUTPUT_DIR, settings.CONSOLE_DATA_DIR = folder / "output", folder / "data"
    settings.CONSOLE_DATA_DIR.mkdir()
    (settings.CONSOLE_DATA_DIR / "trips.parquet").write_bytes(b"PAR1")
    source = champions.FakeSource()
    source.promote("1", champions.packed())
    service = Service(folder, source, "predictions")
    service.writer._make_producer = FakeBroker
    service.writer.start()
    service.refresher.refresh()
    service._is_started = True
    monkeypatch.setattr(serving, "service", lambda: service)
    return mlflow


def rows(mlflow: FakeMlflow) -> SimpleNamespace:
    """One of everything; the arguments that lead to each in `arguments`, by view name and parameter."""
    user = make_user("everybody", *policy.ROLES)
    other = make_user("somebody", *policy.ROLES)
    _token, key = make_token(user)
    make_pipeline(NAME)
    run = make_run(NAME)
    make_task(run)
    question = make_question(run)
    preset = Preset.objects.create(dag_id=NAME, name="the usual", conf={"seed": 7})
    backfill = make_backfill(NAME)
    asset = Asset.objects.create(airflow_id=1, name="raw", uri="s3://raw")
    run_id = mlflow.create_run(mlflow.create_experiment(NAME), "training")
    mlflow.log_metric(run_id, "a", 0.5)
    mlflow.write_file(mlflow.run_root(run_id), "evaluation/a.txt", b"text")
    values = {"metrics": {"a": 0.5, "1": 1.0}, "params": {"a": "1"}, "artifact_uri": mlflow.run_root(run_id)}
    make_mlflow_run(run_id, experiment=NAME, **values)
    make_champion(1, other, run_id=run_id)
    version = make_version(2, state=VersionState.PASSED)
    make_gate(version, other)
    request = make_request(version, other)
    rule = {"kind": "model", "field": "tip_amount", "model": NAME}
    stream = make_stream(name=NAME, topic=NAME, definition={"anomaly_rule": rule})
    now = timezone.now()
    shape = {"stream": stream, "shape": stream.shape, "measures": {}, "stats": [], "updated_at": now}
    Window.objects.create(start=now, group="1", count=1, **shape)
    letter = DeadLetter.objects.create(
        stream=stream, topic=NAME, partition=0, offset=0, reason="no JSON", size_bytes=1, payload=b"x", at=now
    )
    RuleState.objects.create(
        stream=stream,
        topic_id="a",
        n_judged=2,
        n_hits=1,
        unjudged={"unfit": 1},
        waits_for="No answer.",
        waits_since=now,
    )
    Anomaly.objects.create(
        stream=stream,
        topic=NAME,
        topic_id="a",
        partition=0,
        offset=1,
        rule=rule,
        observed=9.0,
        expected=2.0,
        limit=4.8,
        group="1",
        event_at=now,
        at=now,
        prediction_id=str(uuid7()),
    )
    replay = Replay.objects.create(source="trips.parquet", topic=NAME, rate=1, requested_by=user)
    job = Job.objects.create(app="clean_trips", params={}, requested_by=user)
    schedule = JobSchedule.objects.create(
        app="clean_trips", cron="0 3 * * 1", next_at=now + timedelta(days=7), requested_by=user
    )
    alert = alerts.raise_alert("drift", subject=NAME, title="Age drifts", detail="Since noon.", facts={})
    channel = Channel.objects.create(name=NAME, kind="webhook", url="https://host.example/hook")
    channel.sealed_secret = sealing.seal("awh_x", channel.pk)
    channel.save()
    delivery = deliveries.add(channel, "opened", alert=alert, told={"alert": {"title": "Age drifts"}})
    alert_rule = AlertRule.objects.create(kind="slow", pattern=f"{NAME[:3]}*", limit_s=60)
    batch = Batch.objects.create(
        usecase=NAME,
        key="1",
        data_source="file",
        origin="rows.csv",
        data_sha256="ab" * 32,
        dag_id=NAME,
        dag_run_id="manual__1",
        at=now,
        rows_in=1,
        rows_new=1,
        rows_duplicate=0,
        rows_rejected=0,
    )
    entry = audit.record("stream.change", stream, by=user, after={"a": 1})
    prediction = uuid7()
    recorded = message(prediction, user_id=user.pk, username=user.username, model=NAME, version="1")
    ingestion.handle({"predictions/0/0": recorded})
    file = PredictionBatch.objects.create(
        model=NAME,
        requested_by=user,
        username=user.username,
        file_name="rows.csv",
        format="csv",
        sha256="ab" * 32,
        size_bytes=1,
        columns=["a"],
        state="succeeded",
        n_rows=2,
        n_predicted=1,
        n_refused=1,
        refused=[{"row": 2, "message": "a must be a number"}],
        ended_at=now,
    )
    write_whole(batch_files.result(file.pk), parts.header(["a"]))
    pks = {
        "batch": file.pk,
        "batche": file.pk,  # as REST's "batches" without its last letter
        "alerts": alert.pk,
        "alert": alert.pk,
        "channel": channel.pk,
        "delivery": channel.pk,
        "audit": entry.pk,
        "promotion": request.pk,
        "dead": letter.pk,
        "replay": replay.pk,
        "schedule": schedule.pk,
        "job-schedule": schedule.pk,
        "user": other.pk,
        "token": _token.pk,
        "prediction": prediction,
        "predict": prediction,
    }
    arguments = {
        "dag_id": NAME,
        "name": NAME,
        "group": NAME,
        "entity": NAME,
        "id": "1",
        "model": NAME,
        "experiment_id": NAME,
        "version": 2,
        "task_id": "search",
        "input_id": question.pk,
        "preset_id": preset.pk,
        "backfill_id": backfill.pk,
        "asset_id": asset.pk,
        "rule_id": alert_rule.pk,
        "delivery_id": delivery.pk,
        "app": "clean_trips",
        "key": "a",
        "job_id": job.pk,
        "batch_id": batch.pk,
        "username": other.username,
    }
    return SimpleNamespace(user=user, key=key, run=run, mlflow_run=run_id, pks=pks, arguments=arguments)


def client_of(user: Any) -> Client:
    """A browser in which faults are answers, as they are outside of tests."""
    return signed_in(user, raise_request_exception=False)
