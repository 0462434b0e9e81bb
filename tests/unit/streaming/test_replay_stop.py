"""A replay that is told to stop says how much of it is in Kafka, also when its worker died before."""

import pytest
from django.utils import timezone

from streaming import replaying, tasks
from streaming.models import Replay, ReplayState

pytestmark = pytest.mark.django_db


@pytest.fixture
def forgotten(monkeypatch):
    """Replays whose number Kafka is told to forget."""
    found = []
    monkeypatch.setattr(replaying, "forget_number", found.append)
    return found


def make_replay(state):
    return Replay.objects.create(
        source="trips.parquet", topic="trips", rate=10, state=state, is_stop_asked=True, n_sent=55
    )


def test_what_a_dead_worker_sent_and_did_not_note_is_counted(monkeypatch, forgotten):
    monkeypatch.setattr(replaying, "n_in_kafka", lambda _replay: 57)
    replay = make_replay(ReplayState.RUNNING)
    Replay.objects.update(started_at=timezone.now())
    tasks.send_replay(str(replay.pk))
    replay.refresh_from_db()
    assert (replay.state, replay.n_sent) == (ReplayState.STOPPED, 57)
    assert forgotten == [replay]


def test_one_that_fails_leaves_no_number(forgotten):
    replay = make_replay(ReplayState.RUNNING)
    Replay.objects.update(started_at=timezone.now(), is_stop_asked=False, source="missing.parquet")
    tasks.send_replay(str(replay.pk))
    replay.refresh_from_db()
    assert replay.state == ReplayState.FAILED
    assert forgotten == [replay]


def test_one_that_never_began_stops_at_once():
    replay = make_replay(ReplayState.REQUESTED)
    Replay.objects.update(n_sent=0)
    tasks.send_replay(str(replay.pk))
    replay.refresh_from_db()
    assert (replay.state, replay.n_sent) == (ReplayState.STOPPED, 0)
