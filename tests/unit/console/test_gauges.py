"""What Prometheus reads, and that docs/metrics.md names each metric with its kind and labels."""

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from console import gauges, health
from core.access.models import User
from core.alerts import actions as alerts
from core.lib import metrics, redis
from jobs.models import Job, JobState
from pipelines.models import Run, RunState
from predictions.serving.standalone import ServingApp

REPO = Path(__file__).parents[3]
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<kind>\w+) \|(?P<labels>[^|]*)\| (?P<meaning>[^|]+) \|$", re.M)


def documented():
    """(name, kind, labels) of each row."""
    text = (REPO / "docs" / "metrics.md").read_text()
    rows = [
        (row["name"], row["kind"], tuple(row["labels"].strip().split(", "))) for row in ROW.finditer(text)
    ]
    return [(name, kind, labels if labels != ("",) else ()) for name, kind, labels in rows]


def exported():
    """The same of each metric that the code has."""
    found = set()
    for metric in REGISTRY._collector_to_names:
        if isinstance(
            metric, MetricWrapperBase
        ):  # others are the library's own, which shared folders leave out
            (family,) = metric.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.add((name, family.type, metric._labelnames))
    for one in (*metrics.ASKED, *gauges.ASKED):
        found.add((one.name, "gauge", one.labels))
    return found


def test_every_metric_is_documented_with_its_kind_and_labels_and_no_other():
    assert len(documented()) == len(set(documented()))
    assert set(documented()) == exported()


def test_names_say_whose_they_are_and_end_in_a_unit():
    units = [
        "seconds",
        "total",
        "count",
        "messages",
        "rows",
        "runs",
        "jobs",
        "columns",
        "requests",
        "version",
        "healthy",
        "aside",
        "share",
        "bytes",
        "connections",
        "brokers",
        "partitions",
    ]
    odd = [name for name, *_rest in exported() if not re.fullmatch(rf"console_\w+_({'|'.join(units)})", name)]
    assert odd == []


def found(client, name):
    """The samples of one metric, by the text of their labels."""
    text = client.get("/metrics").text
    rows = re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.M)
    return {labels: float(value) for labels, value in rows}


@pytest.fixture(autouse=True)
def _no_part_is_asked(monkeypatch):
    monkeypatch.setattr(health, "CHECKS", {})
    monkeypatch.setattr(health, "_remembered", {})


@pytest.mark.django_db
def test_parts_are_told_by_name(client, monkeypatch):
    def ill():
        raise health.Unwell("Not today.")

    monkeypatch.setattr(health, "CHECKS", {"kafka": ("Kafka", ill), "mlflow": ("MLflow", lambda: "")})
    assert found(client, "console_part_healthy") == {'part="kafka"': 0, 'part="mlflow"': 1}


@pytest.mark.django_db
def test_queues_are_counted_while_redis_answers(client, real_redis):
    redis.client().rpush("heavy", "a", "b")
    lengths = found(client, "console_task_wait_messages")
    assert lengths == {'queue="control"': 0, 'queue="heavy"': 2, 'queue="spark"': 0}
    real_redis.stop()
    assert found(client, "console_task_wait_messages") == {}
    assert found(client, "console_promotion_wait_requests") == {"": 0}, "the others are there still"


@pytest.mark.django_db
@pytest.mark.parametrize("odd", [{("a",): None}, {("a",): "many"}, {("a", "b", 1): 1, None: 2}, None])
def test_count_that_makes_no_sense_takes_no_other_along(client, monkeypatch, odd):
    gauge = metrics.Asked("console_odd_count", "Odd.", ("thing",), lambda: odd)
    monkeypatch.setattr(gauges, "ASKED", (gauge, *gauges.ASKED))
    assert found(client, "console_odd_count") == {}
    assert found(client, "console_promotion_wait_requests") == {"": 0}


@pytest.mark.django_db
def test_rows_are_counted_by_state(client, monkeypatch):
    monkeypatch.setattr("core.lib.live._send", lambda topic, body: None)
    by = User.objects.create_user("ana")
    for number, state in enumerate(("running", "running", "failed", "a_new_one")):
        ended_at = gauges.timezone.now() if state == "failed" else None
        Run.objects.create(dag_id="d", dag_run_id=str(number), state=state, wish="", ended_at=ended_at)
    Run.objects.create(
        dag_id="d",
        dag_run_id="old",
        state=RunState.FAILED,
        wish="",
        ended_at=gauges.timezone.now() - 2 * gauges.LATELY,
    )
    Job.objects.create(app="clean_trips", state=JobState.QUEUED, requested_by=by)
    alerts.raise_alert("drift", subject="titanic", title="-", detail="-", facts={}, severity="critical")

    runs = found(client, "console_run_open_runs")
    assert (runs['state="running"'], runs['state="queued"'], runs['state="other"']) == (2, 0, 1)
    assert found(client, "console_run_end_runs")['state="failed"'] == 1
    assert found(client, "console_job_open_jobs")['state="queued"'] == 1
    assert found(client, "console_alert_unresolved_count")['severity="critical"'] == 1
    assert found(client, "console_alert_unresolved_count")['severity="info"'] == 0


def test_serving_answers_without_asking_anybody():
    sent = []

    async def send(message):
        sent.append(message)

    async def ask():
        await ServingApp()({"type": "http", "method": "GET", "path": "/metrics"}, None, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 200
    assert b"console_predict_answer_calls_total" in sent[1]["body"]
    assert b"console_items_set_aside" not in sent[1]["body"]
