"""Rows are kept for as long as their setting says, and go in small transactions."""

import json
import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from django.core.checks import run_checks
from django.utils import timezone

from console import checks
from core.alerts import tasks as alert_tasks
from core.alerts.models import Alert
from core.alerts.states import State
from core.lib import retention
from pipelines import tasks as pipeline_tasks
from pipelines.models import AssetEvent
from predictions import partitions
from predictions import tasks as prediction_tasks
from predictions.models import ErasedPrediction, Prediction, UnansweredPrediction
from streaming import tasks as stream_tasks
from streaming.models import Replay, ReplayState

NOW = datetime.now(UTC)


def prediction(day: date) -> Prediction:
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    id_ = uuid.UUID(int=(int(at.timestamp() * 1000) << 80) | uuid.uuid4().int >> 52)
    return Prediction.objects.create(
        id=id_, request_id="r", at=at, model="m", version="1", user_id=1, username="ana", source="api", row=0,
        inputs={}, value=1,
    )  # fmt: skip


@pytest.fixture
def days(db):
    """Predictions of five days: today, yesterday, three days of long ago, one of them without a partition."""
    today = NOW.date()
    found = [today, *(today - timedelta(days=n) for n in (1, 20, 21, 400))]
    for day in found[:4]:
        partitions.ensure(day)
    yield {day: prediction(day) for day in found}
    for day in found:
        partitions._made.discard(day)


def tables() -> set[date]:
    return set(partitions._days())


def test_predictions_are_kept_for_ever_by_default(days):
    prediction_tasks.clear_old_predictions()
    assert Prediction.objects.count() == 5


def test_whole_days_of_predictions_go(days, settings):
    settings.CONSOLE_PREDICTIONS_KEEP_DAYS = 15
    prediction_tasks.clear_old_predictions()
    today, yesterday, *old = days
    assert set(Prediction.objects.values_list("at__date", flat=True)) == {today, yesterday}
    assert tables().isdisjoint(old)
    assert {today, yesterday} <= tables()


def test_a_day_that_is_removed_can_come_again(days, settings):
    settings.CONSOLE_PREDICTIONS_KEEP_DAYS = 15
    prediction_tasks.clear_old_predictions()
    old = list(days)[2]
    found = prediction(old)
    partitions.ensure_for([found.pk])
    assert Prediction.objects.filter(pk=found.pk).exists()


def test_remembered_ids_go_with_their_days(days, settings):
    settings.CONSOLE_PREDICTIONS_KEEP_DAYS = 15
    today, *_between, long_ago = days.values()
    for found in (today, long_ago):
        ErasedPrediction.objects.create(id=found.pk, model="m", user_id=1, erased_by="ana")
        UnansweredPrediction.objects.create(id=found.pk)
    prediction_tasks.clear_old_predictions()
    assert list(ErasedPrediction.objects.values_list("pk", flat=True)) == [today.pk]
    assert list(UnansweredPrediction.objects.values_list("pk", flat=True)) == [today.pk]


def test_rows_go_in_batches_with_a_bound(days, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "MOST_BATCHES", 2)
    assert retention.clear(Prediction.objects.all()) == 4
    assert retention.clear(Prediction.objects.all()) == 1


@pytest.mark.django_db
def test_alerts_that_were_resolved_long_ago_go(settings):
    settings.CONSOLE_ALERTS_KEEP_DAYS = 10
    long_ago = timezone.now() - timedelta(days=11)
    for subject, state, since in (
        ("old", State.RESOLVED, long_ago),
        ("new", State.RESOLVED, timezone.now()),
        ("open", State.OPEN, long_ago),
    ):
        alert = Alert.objects.create(rule="drift", subject=subject, title="t", state=state, state_since=since)
        alert.steps.create(state=state)
    alert_tasks.clear_old()
    assert set(Alert.objects.values_list("subject", flat=True)) == {"new", "open"}


@pytest.mark.django_db
def test_replays_that_ended_long_ago_go(settings):
    long_ago = timezone.now() - timedelta(days=31)
    old = {"source": "a.csv", "topic": "t", "rate": 1}
    Replay.objects.create(**old, state=ReplayState.DONE, ended_at=long_ago)
    running = Replay.objects.create(**old, state=ReplayState.RUNNING)
    stream_tasks.clear_old()
    assert list(Replay.objects.all()) == [running]
    settings.CONSOLE_STREAMS_KEEP_DAYS = 0
    Replay.objects.create(**old, state=ReplayState.DONE, ended_at=long_ago)
    stream_tasks.clear_old()
    assert Replay.objects.count() == 2


@pytest.mark.django_db
def test_old_events_of_assets_go_and_the_newest_stays(settings):
    settings.CONSOLE_ASSET_EVENTS_KEEP_DAYS = 10
    for number, days in enumerate((40, 30, 20)):
        at = timezone.now() - timedelta(days=days)
        AssetEvent.objects.create(airflow_id=number, asset_airflow_id=1, at=at)
    pipeline_tasks.clear_old()
    assert AssetEvent.objects.get().airflow_id == 2
    AssetEvent.objects.create(airflow_id=3, asset_airflow_id=1, at=timezone.now())
    settings.CONSOLE_ASSET_EVENTS_KEEP_DAYS = 0
    pipeline_tasks.clear_old()
    assert AssetEvent.objects.count() == 2


@pytest.mark.parametrize(("days_kept", "is_sound"), [(0, True), (7, False), (8, True), (-1, False)])
def test_days_that_cannot_be_are_named(settings, days_kept, is_sound):
    settings.CONSOLE_PREDICTIONS_KEEP_DAYS = days_kept
    faults = [fault for fault in checks._kept_days() if "PREDICTIONS" in fault.msg]
    assert (faults == []) == is_sound
    assert is_sound or "CONSOLE_PREDICTIONS_KEEP_DAYS" in json.dumps([fault.msg for fault in run_checks()])


def test_the_page_shows_what_is_kept(admin_page):
    page = admin_page.get("/system/doctor").content.decode()
    for kept in retention.registered():
        assert kept.setting in page
    assert "taxi_trips" in page
