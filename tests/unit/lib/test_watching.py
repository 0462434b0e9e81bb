"""The loop of `manage.py watch`: each poll for itself, failures noted, and a prompt end."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from core.lib import heartbeat, live, watching
from core.lib import poll as poll_module
from core.lib.errors import Unavailable
from core.lib.models import SyncState
from core.lib.poll import Poll, poll
from core.lib.watching import Watched


class Service:
    """A poll whose fate the test decides."""

    def __init__(self, every_s=2.0):
        self.error = None
        self.n_runs = 0
        self.poll = Poll("tests.sync_things", "airflow", every_s, self.run)

    def run(self):
        self.n_runs += 1
        if self.error is not None:
            raise self.error


@pytest.fixture
def service():
    return Service()


@pytest.fixture(autouse=True)
def published(monkeypatch):
    topics = []
    monkeypatch.setattr(live, "publish", topics.append)
    return topics


@pytest.fixture(autouse=True)
def _transaction_stays_open(monkeypatch):
    """The connection that a poll leaves behind is closed; here it holds the test's transaction."""
    monkeypatch.setattr(watching, "close_old_connections", lambda: None)


def state():
    return SyncState.objects.get(name="tests.sync_things")


@pytest.mark.django_db
class TestOnePoll:
    def test_success_is_noted(self, service):
        wait_s = Watched(service.poll).run_once()
        assert state().is_current
        assert 1.5 < wait_s <= 2

    def test_success_is_noted_every_few_seconds_only(self, service, django_assert_num_queries):
        watched = Watched(service.poll)
        watched.run_once()
        with django_assert_num_queries(0):
            watched.run_once()
        watched.noted_at -= watching.NOTED_EVERY_S
        before = state().last_success_at
        watched.run_once()
        assert state().last_success_at > before

    def test_failure_keeps_its_words_and_the_time_of_the_last_success(self, service):
        watched = Watched(service.poll)
        watched.run_once()
        succeeded_at = state().last_success_at
        service.error = Unavailable("Airflow is not answering.")
        watched.run_once()
        assert (state().last_error, state().last_success_at) == ("Airflow is not answering.", succeeded_at)
        assert SyncState.stale_since("airflow") == succeeded_at

    def test_failing_poll_waits_longer_each_time_half_a_minute_at_most(self, service):
        watched = Watched(service.poll)
        service.error = Unavailable("away")
        assert [watched.run_once() for _ in range(6)] == [4, 8, 16, 30, 30, 30]

    def test_slow_poll_is_asked_again_soon_when_it_fails(self):
        service = Service(every_s=600)
        service.error = Unavailable("away")
        assert Watched(service.poll).run_once() == 30

    def test_recovery_is_noted_at_once_and_told(self, service, published):
        watched = Watched(service.poll)
        service.error = Unavailable("away")
        watched.run_once()
        service.error = None
        watched.run_once()
        assert state().is_current
        assert published == ["health", "health"]

    def test_nothing_is_told_while_nothing_changes(self, service, published):
        watched = Watched(service.poll)
        for _ in range(3):
            watched.run_once()
        assert published == ["health"]

    def test_bug_is_logged_with_its_traceback_and_noted(self, service, caplog):
        service.error = ZeroDivisionError("a bug")
        Watched(service.poll).run_once()
        assert state().last_error == "ZeroDivisionError: a bug"
        [record] = [record for record in caplog.records if "poll.broken" in str(record.msg)]
        assert record.msg["exc_info"]

    def test_outage_is_logged_once(self, service, caplog):
        watched = Watched(service.poll)
        service.error = Unavailable("away")
        for _ in range(4):
            watched.run_once()
        assert len([record for record in caplog.records if "poll.failed" in str(record.msg)]) == 1

    def test_database_away_stops_nothing(self, service):
        def refuse(*_args, **_kwargs):
            raise OperationalError("gone")

        watched = Watched(service.poll)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SyncState, "succeeded", refuse)
            watched.run_once()
        watched.run_once()
        assert state().is_current, "it is made up for as soon as there is a database"


@pytest.mark.django_db
class TestStaleSince:
    def test_nothing_known_is_not_stale(self):
        assert SyncState.stale_since("airflow") is None

    def test_success_just_now_is_not_stale(self):
        SyncState.succeeded("a", "airflow")
        assert SyncState.stale_since("airflow") is None

    def test_silence_is_stale_since_the_newest_success(self):
        SyncState.succeeded("a", "airflow")
        SyncState.succeeded("b", "airflow")
        long_ago = timezone.now() - timedelta(minutes=5)
        SyncState.objects.update(last_success_at=long_ago)
        assert SyncState.stale_since("airflow") == long_ago

    def test_poll_that_never_succeeded_is_stale_since_its_error(self):
        SyncState.failed("a", "airflow", "away")
        assert SyncState.stale_since("airflow") == SyncState.objects.get().last_error_at

    def test_other_services_do_not_count(self):
        SyncState.failed("a", "mlflow", "away")
        assert SyncState.stale_since("airflow") is None


# --- the loop; what it notes is tested above


@pytest.fixture
def _notes_nothing(monkeypatch):
    monkeypatch.setattr(Watched, "_note", lambda *_: None)
    monkeypatch.setattr(heartbeat, "try_beat", lambda _part: None)


async def watched_for(seconds, *polls):
    stop = asyncio.Event()
    task = asyncio.create_task(watching.watch(list(polls), stop))
    await asyncio.sleep(seconds)
    stop.set()
    started = time.monotonic()
    return await task, time.monotonic() - started


@pytest.mark.usefixtures("_notes_nothing")
async def test_poll_that_hangs_holds_up_no_other():
    release = threading.Event()
    quick = Service(every_s=0.02)
    hanging = Poll("tests.hanging", "mlflow", 0.02, release.wait)
    task = asyncio.create_task(watched_for(0.5, quick.poll, hanging))
    await asyncio.sleep(0.6)
    release.set()
    assert (await task)[0] is True
    assert quick.n_runs > 5


@pytest.mark.usefixtures("_notes_nothing")
async def test_poll_never_runs_beside_itself():
    running, at_once = [], []

    def run():
        running.append(1)
        at_once.append(len(running))
        time.sleep(0.05)
        running.pop()

    await watched_for(0.4, Poll("tests.slow", "airflow", 0.01, run))
    assert max(at_once) == 1
    assert len(at_once) > 2


@pytest.mark.usefixtures("_notes_nothing")
async def test_end_is_prompt_and_says_who_is_late(monkeypatch):
    monkeypatch.setattr(watching, "GRACE_S", 0.2)
    release = threading.Event()
    is_clean, seconds = await watched_for(0.1, Poll("tests.hanging", "mlflow", 1, release.wait))
    release.set()
    assert (is_clean, seconds < 1) == (False, True)


@pytest.mark.usefixtures("_notes_nothing")
async def test_long_pause_does_not_hold_up_the_end():
    is_clean, seconds = await watched_for(0.1, Service(every_s=600).poll)
    assert (is_clean, seconds < 1) == (True, True)


async def test_loop_that_breaks_ends_the_watch(monkeypatch):
    """A supervisor starts it again; going on without one poll would go unseen."""
    monkeypatch.setattr(heartbeat, "try_beat", lambda _part: None)
    monkeypatch.setattr(Watched, "run_once", lambda _self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        await watching.watch([Service().poll], asyncio.Event())


def test_poll_registers_the_function_and_leaves_it_callable(monkeypatch):
    monkeypatch.setattr(poll_module, "POLLS", {})

    @poll(every_s=3, service="kafka")
    def sync_lag():
        return None

    [found] = poll_module.POLLS.values()
    assert (found.every_s, found.service, found.run) == (3, "kafka", sync_lag)
