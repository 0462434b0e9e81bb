"""Tasks of once a day, on an installation whose beat never runs for a whole day."""

from datetime import timedelta

import pytest
from celery import current_app
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from core.lib import daily
from core.lib.models import DailyTask

pytestmark = pytest.mark.django_db
NAMES = ["core.access.tasks.clear_sessions", "jobs.tasks.clear_old"]


@pytest.fixture
def sent(monkeypatch, settings):
    settings.CONSOLE_DAILY_TASKS = NAMES
    current_app.loader.import_default_modules()
    names = []
    for name in NAMES:
        monkeypatch.setattr(current_app.tasks[name], "delay", lambda name=name: names.append(name))
    return names


def _started(name: str, hours_ago: float) -> None:
    at = timezone.now() - timedelta(hours=hours_ago)
    DailyTask.objects.update_or_create(name=name, defaults={"started_at": at})


def test_each_runs_once_a_day_however_often_beat_starts_anew(sent):
    assert daily.start_due() == NAMES
    assert daily.start_due() == []
    _started(NAMES[0], 23.9)
    _started(NAMES[1], 24.1)
    assert daily.start_due() == [NAMES[1]]
    assert sent == [*NAMES, NAMES[1]]


def test_what_cannot_be_sent_is_started_by_the_next_turn(sent, monkeypatch):
    def refuse():
        raise OperationalError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(current_app.tasks[NAMES[0]], "delay", refuse)
        with pytest.raises(OperationalError):
            daily.start_due()
    assert daily.start_due() == NAMES


def test_a_clock_that_was_a_year_ahead_holds_up_nothing(sent):
    _started(NAMES[0], -365 * 24)
    _started(NAMES[1], -0.1)
    assert daily.start_due() == [NAMES[0]]


def test_beat_keeps_no_interval_that_is_longer_than_it_may_live():
    longest_s = max(entry["schedule"] for entry in settings.CELERY_BEAT_SCHEDULE.values())
    assert longest_s <= 600
    assert "core.lib.daily.start_due" in {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}


def test_every_task_of_the_clock_is_known_to_the_worker():
    current_app.loader.import_default_modules()
    by_interval = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert len(settings.CONSOLE_DAILY_TASKS) == 9
    assert by_interval | set(settings.CONSOLE_DAILY_TASKS) <= set(current_app.tasks)
