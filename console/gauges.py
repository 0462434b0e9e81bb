"""What Prometheus learns of rows and of the other parts: counted when it asks, within two seconds."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from django.utils import timezone

from console import health
from core.alerts import queries as alerts
from core.alerts.states import Severity
from core.lib import redis as console_redis
from core.lib.metrics import Asked
from jobs import queries as jobs
from models_registry import queries as models
from pipelines import queries as pipelines
from predictions.drift import queries as drift

LATELY: Final = timedelta(hours=1)
# Each model is a series of its own, for ever.
MOST_MODELS: Final = 200

Numbers = dict[tuple[str, ...], float]


def _single(numbers: Mapping[str, float]) -> Numbers:
    """Of one label."""
    return {(value,): number for value, number in numbers.items()}


def _parts() -> Numbers:
    return _single({part.name: float(bool(part.is_healthy)) for part in health.report()})


def _queues() -> Numbers:
    client = console_redis.client()
    return _single({queue: int(client.llen(queue)) for queue in health.QUEUES})


def _alerts() -> Numbers:
    counts = alerts.counts(state=alerts.UNRESOLVED_WORD)["severity"]
    return _single({severity: counts[severity] for severity in Severity.values})


def _notifications() -> Numbers:
    return _single({kind: n for kind, (n, _oldest) in alerts.pending().items()})


def _notification_ages() -> Numbers:
    now = timezone.now()
    ages = {kind: now - oldest for kind, (_n, oldest) in alerts.pending().items() if oldest is not None}
    return _single({kind: age.total_seconds() for kind, age in ages.items()})


def _champions() -> Numbers:
    return _single(dict(list(models.champion_numbers().items())[:MOST_MODELS]))


def _promotions() -> Numbers:
    return {(): models.waiting().count()}


def _drift_windows() -> list[drift.DriftWindow]:
    return drift.last_windows()[:MOST_MODELS]


def _drift_columns() -> Numbers:
    return _single({window.model: len(window.drifted_columns) for window in _drift_windows()})


def _drift_rows() -> Numbers:
    return _single({window.model: window.n for window in _drift_windows()})


def _drift_ages() -> Numbers:
    now = timezone.now()
    return _single({window.model: (now - window.judged_at).total_seconds() for window in _drift_windows()})


def _figure(name: str, words: str, labels: tuple[str, ...] = ()) -> Asked:
    """Of what a service said of itself when its health was asked; left out while it is not well."""

    def count() -> Numbers:
        told = [part.figures.items() for part in health.report()]
        return {key[1:]: value for items in told for key, value in items if key[0] == name}

    return Asked(name, words, labels, count)


ASKED: Final = (
    Asked("console_part_healthy", "Whether the part answers and is well: 1 or 0.", ("part",), _parts),
    Asked("console_task_wait_messages", "Tasks that no worker has taken yet.", ("queue",), _queues),
    Asked("console_alert_unresolved_count", "Alerts that are not resolved.", ("severity",), _alerts),
    Asked(
        "console_notification_wait_messages", "Notifications not delivered yet.", ("kind",), _notifications
    ),
    Asked("console_notification_wait_seconds", "Age of the oldest of them.", ("kind",), _notification_ages),
    Asked(
        "console_run_open_runs",
        "Pipeline runs that have not ended, by state.",
        ("state",),
        lambda: _single(pipelines.open_states()),
    ),
    Asked(
        "console_run_end_runs",
        "Pipeline runs that ended within the last hour, by how.",
        ("state",),
        lambda: _single(pipelines.ended_since(timezone.now() - LATELY)),
    ),
    Asked(
        "console_job_open_jobs",
        "Spark jobs that have not ended, by state.",
        ("state",),
        lambda: _single(jobs.open_states()),
    ),
    Asked("console_model_champion_version", "Version of the model that serves.", ("model",), _champions),
    Asked("console_promotion_wait_requests", "Promotion requests that wait for a decision.", (), _promotions),
    Asked("console_drift_move_columns", "Drifted columns of the last window.", ("model",), _drift_columns),
    Asked("console_drift_judge_rows", "Predictions in the last window.", ("model",), _drift_rows),
    Asked("console_drift_age_seconds", "Time since a window was judged.", ("model",), _drift_ages),
    _figure("console_postgres_size_bytes", "Size of the console's database."),
    _figure("console_postgres_open_connections", "Connections of clients, to all databases."),
    _figure("console_postgres_allow_connections", "Connections that PostgreSQL allows."),
    _figure("console_redis_memory_bytes", "Memory that Redis uses."),
    _figure("console_redis_open_connections", "Connections of clients to Redis."),
    _figure("console_kafka_answer_brokers", "Brokers that Kafka knows."),
    _figure("console_kafka_lag_partitions", "Partitions of which a replica is not in sync."),
    _figure("console_kafka_leaderless_partitions", "Partitions that no broker leads."),
    _figure("console_airflow_heartbeat_seconds", "Age of the last sign of life.", labels=("component",)),
)
