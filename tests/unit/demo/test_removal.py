"""Taking the demonstration away: once, by nobody else at the same time, and for good."""

import io

import pytest
from django.core.management import CommandError, call_command

from console.demo import queries, removal, taking
from console.demo.models import Demonstration, DemoState, Step
from core.access.models import User
from core.audit.models import AuditEntry
from core.lib.errors import Unavailable
from jobs.models import Job, JobState
from tests.people import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_kafka(settings, monkeypatch, tmp_path):
    settings.CONSOLE_OUTPUT_DIR = tmp_path
    monkeypatch.setattr(removal.streaming, "remove_demo_predictions", lambda _since: {})


def remove():
    out = io.StringIO()
    call_command("remove_demo", stdout=out)
    return out.getvalue()


def ended_demonstration():
    found = taking.take()
    Demonstration.objects.filter(pk=found.pk).update(state=DemoState.DONE, holder=None)
    make_user("demo-engineer", "engineer", is_demo=True)


def test_nothing_to_remove_is_said_and_leaves_no_trace():
    assert "There is no demonstration" in remove()
    assert not AuditEntry.objects.exists()


def test_what_is_there_goes_once_with_one_audit_row():
    ended_demonstration()
    assert "Removed: 1 users" in remove()
    assert not User.objects.exists()
    assert not Step.objects.exists()
    assert AuditEntry.objects.get(action="demo.remove").after["users"] == 1
    assert "There is no demonstration" in remove()
    assert AuditEntry.objects.filter(action="demo.remove").count() == 1


def test_a_removed_one_does_not_begin_again_by_itself():
    ended_demonstration()
    remove()
    assert not queries.is_empty()
    assert queries.shown() is None
    assert taking.take().pk != Demonstration.objects.order_by("pk").first().pk


def test_it_is_refused_while_the_demonstration_is_at_work():
    taking.take()
    make_user("demo-engineer", "engineer", is_demo=True)
    with pytest.raises(CommandError, match="is at work"):
        remove()
    assert User.objects.exists()


def test_a_part_that_is_away_is_named_with_how_to_go_on(monkeypatch):
    def away():
        raise Unavailable("Kafka does not answer.")

    ended_demonstration()
    monkeypatch.setattr(removal.streaming, "remove_demo", away)
    with pytest.raises(CommandError, match=r"Kafka does not answer\. .*remove_demo` again"):
        remove()
    assert queries.shown() is not None


def test_jobs_that_ended_go():
    ended_demonstration()
    Job.objects.create(
        app="clean_trips",
        state=JobState.FAILED,
        is_demo=True,
        ended_at=Demonstration.objects.get().started_at,
        next_attempt_at=None,
    )
    assert "1 jobs" in remove()
