"""Jobs that come again: cron text, who may, what is due, and what cannot be submitted any more."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from core.access import policy
from core.audit.models import AuditEntry
from core.lib.errors import InvalidRequest
from jobs import cron, schedules, tasks
from jobs.models import Job, JobSchedule
from tests.people import make_user, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("job_folders")]

NOW = datetime(2026, 1, 31, 10, 7, 30, tzinfo=UTC)
URL = "/api/v1/job-schedules"
BODY = {"app": "clean_trips", "params": {"source": "trips.parquet"}, "cron": "0 3 * * 1"}
JSON = {"content_type": "application/json"}


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    ids: list[str] = []
    monkeypatch.setattr(tasks.attend, "apply_async", lambda args, *_others: ids.append(args[0]))
    return ids


@pytest.fixture
def engineer():
    return make_user("eng", "engineer")


def make_due(by, **values):
    wanted = {
        "app": "clean_trips",
        "params": {"source": "trips.parquet"},
        "cron": "*/5 * * * *",
        "next_at": timezone.now() - timedelta(hours=3),
    }
    return JobSchedule.objects.create(requested_by=by, **wanted | values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 * * * *", datetime(2026, 1, 31, 10, 10, tzinfo=UTC)),
        ("  0   3 * * 1 ", datetime(2026, 2, 2, 3, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
        ("0 0 * * 7", datetime(2026, 2, 1, tzinfo=UTC)),  # a Sunday
        ("0 0 * * 5-7", datetime(2026, 2, 1, tzinfo=UTC)),
        ("0 0 15 * 1", datetime(2026, 2, 2, tzinfo=UTC)),  # a Monday, before the 15th
        ("0 0 1 * 1", datetime(2026, 2, 1, tzinfo=UTC)),
        ("0 0 * * 0-7", datetime(2026, 2, 1, tzinfo=UTC)),
        ("0 0 * 2 0-7/2", datetime(2026, 2, 1, tzinfo=UTC)),  # Sunday, Tuesday, Thursday, Saturday
        ("0 0 31 2 1", datetime(2026, 2, 2, tzinfo=UTC)),  # there is no such day, but Mondays
        ("0 0 * * 3-7", datetime(2026, 2, 1, tzinfo=UTC)),
        ("*/7 17 7 7 *", datetime(2026, 7, 7, 17, tzinfo=UTC)),
    ],
)
def test_the_next_time_is_as_worked_out_by_hand(text, expected):
    assert cron.next_after(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "daily",
        "* * * *",
        "* * * * * *",
        "61 * * * *",
        "0 0 32 1 1",
        "*/0 * * * *",
        "-1 * * * *",
        "0 0 30 2 *",
        "é * * * *",
    ],
)
def test_what_is_no_cron_text_is_refused(text):
    with pytest.raises(InvalidRequest) as refused:
        cron.next_after(text, NOW)
    assert refused.value.errors[0]["field"] == "cron"


def test_a_due_schedule_submits_one_job_however_often_it_was_missed(engineer):
    schedule = make_due(engineer, retries=2)
    later = make_due(engineer, next_at=timezone.now() + timedelta(minutes=1))
    paused = make_due(engineer, is_paused=True)
    for _time in range(2):
        schedules.run_due()
    job = Job.objects.get()
    assert (job.app, job.requested_by, job.retries_left) == ("clean_trips", engineer, 2)
    for one in (schedule, later, paused):
        one.refresh_from_db()
    assert (schedule.last_job, schedule.last_error) == (job, "")
    assert timedelta() < schedule.next_at - timezone.now() <= timedelta(minutes=5)
    assert later.last_job is None is paused.last_job


def test_a_job_longer_than_its_interval_is_not_submitted_again(engineer, sent):
    """Else a queue fills up that is everybody's."""
    schedule = make_due(engineer)
    schedules.run_due()
    first = Job.objects.get()
    JobSchedule.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    schedules.run_due()
    schedule.refresh_from_db()
    assert Job.objects.get() == first == schedule.last_job
    assert f"its job before, {first.pk}, has not ended" in schedule.last_error
    assert schedule.next_at > timezone.now()
    assert not schedule.is_paused
    Job.objects.update(state="cancelled", ended_at=timezone.now(), next_attempt_at=None)
    JobSchedule.objects.update(next_at=timezone.now() - timedelta(minutes=1))
    schedules.run_due()
    schedule.refresh_from_db()
    assert (Job.objects.count(), schedule.last_error) == (2, "")


def test_one_that_cannot_be_submitted_says_why_and_the_others_go_on(engineer):
    gone = make_due(engineer, params={"source": "gone.parquet"})
    sound = make_due(engineer)
    schedules.run_due()
    gone.refresh_from_db()
    sound.refresh_from_db()
    assert "There is no “gone.parquet”" in gone.last_error
    assert not gone.is_paused
    assert sound.last_job is not None


def test_who_lost_the_right_or_left_submits_nothing(engineer):
    lost, left = make_due(make_user("vic", "viewer")), make_due(None)
    schedules.run_due()
    assert not Job.objects.exists()
    for schedule, words in ((lost, "do not include “jobs.run”"), (left, "is no user any more")):
        schedule.refresh_from_db()
        assert words in schedule.last_error
        assert schedule.is_paused


def test_over_rest_it_is_made_paused_resumed_and_deleted_with_a_trail(engineer):
    browser = signed_in(engineer)
    answer = browser.post(URL, BODY, **JSON)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["cron"], made["requested_by"], made["is_paused"]) == ("0 3 * * 1", "eng", False)
    assert browser.get(URL).json()["results"] == [made]
    one = f"{URL}/{made['id']}"
    assert browser.patch(one, {"is_paused": True}, **JSON).json()["is_paused"] is True
    assert browser.patch(one, {"is_paused": False}, **JSON).json()["is_paused"] is False
    assert browser.delete(one).status_code == 204
    assert browser.delete(one).status_code == 404
    actions = (
        AuditEntry.objects.filter(action__startswith="job.").order_by("pk").values_list("action", flat=True)
    )
    assert list(actions) == [
        "job.schedule",
        "job.schedule_pause",
        "job.schedule_resume",
        "job.schedule_delete",
    ]
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"cron": "often"}, "cron"),
        ({"params": {}}, "params.source"),
        ({"app": "nothing"}, "app"),
        ({"target": "moon"}, "target"),
        ({"retries": 9}, "retries"),
    ],
)
def test_what_could_not_run_is_refused_when_it_is_asked_for(engineer, change, field):
    answer = signed_in(engineer).post(URL, BODY | change, **JSON)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]
    assert not JobSchedule.objects.exists()


def test_a_viewer_sees_them_and_may_not_make_any(engineer):
    viewer = make_user("vic", "viewer")
    make_due(engineer)
    assert len(signed_in(viewer).get(URL).json()["results"]) == 1
    assert signed_in(viewer).post(URL, BODY, **JSON).status_code == 403
    with pytest.raises(policy.Denied):
        schedules.create(
            "clean_trips", cron_text="* * * * *", by=viewer, params={}, target="default", retries=0
        )


def test_the_form_makes_one_when_a_cron_text_is_typed(engineer):
    browser = signed_in(engineer)
    form = {"source": "trips.parquet", "cron": "0 3 * * 1", "retries": "2"}
    answer = browser.post("/jobs/new/clean_trips", form)
    assert answer["Location"] == "/jobs/schedules"
    schedule = JobSchedule.objects.get()
    assert (schedule.cron, schedule.retries) == ("0 3 * * 1", 2)
    page = browser.get("/jobs/schedules").content.decode()
    assert "0 3 * * 1" in page
    browser.post(f"/jobs/schedules/{schedule.pk}/pause", {"is_paused": "1"})
    schedule.refresh_from_db()
    assert schedule.is_paused
    assert "Resume" in browser.get("/jobs/schedules").content.decode()
    browser.post(f"/jobs/schedules/{schedule.pk}/delete")
    assert "No schedule yet" in browser.get("/jobs/schedules").content.decode()


def test_the_form_keeps_what_was_typed_when_the_cron_text_is_none(engineer):
    answer = signed_in(engineer).post("/jobs/new/clean_trips", {"source": "trips.parquet", "cron": "often"})
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "is no cron text" in page
    assert 'value="often"' in page
