"""REST of jobs, from rows: no worker takes them here."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.audit.models import AuditEntry
from core.lib import redis as console_redis
from jobs import actions
from jobs.models import Job, JobState
from tests.people import make_user, signed_in
from tests.unit.jobs.conftest import attend, ended, make_job

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("job_folders")]

URL = "/api/v1/jobs"
BODY = {"app": "clean_trips", "params": {"source": "trips.parquet"}}


@pytest.fixture
def engineer():
    return signed_in(make_user("eng", "engineer"))


def post(client, url, body):
    return client.post(url, body, content_type="application/json")


def faults(answer):
    assert answer["Content-Type"] == "application/problem+json"
    return [fault["field"] for fault in answer.json()["errors"]]


def test_submit_answers_202_with_the_row_and_leaves_a_trace(engineer, settings):
    answer = post(engineer, URL, BODY)
    assert answer.status_code == 202
    row = answer.json()
    assert (row["app"], row["state"], row["requested_by"]) == ("clean_trips", "queued", "eng")
    assert row["params"]["source"] == str(settings.CONSOLE_DATA_DIR / "trips.parquet")
    entry = AuditEntry.objects.get(action="job.submit")
    assert (entry.actor_name, entry.object_id) == ("eng", row["id"])
    assert entry.after == {
        "app": "clean_trips",
        "params": row["params"],
        "target": "default",
        "retries": 0,
    }
    assert engineer.get(f"{URL}/{row['id']}").json() == row


def keyed(client, key, body=BODY):
    return client.post(URL, body, content_type="application/json", headers={"Idempotency-Key": key})


def test_a_key_holds_though_its_first_answer_was_not_kept(engineer, real_redis):
    first = keyed(engineer, "k-1")
    console_redis.client().flushall()  # as after a death between the row and the answer
    again = keyed(engineer, "k-1")
    assert (again.status_code, again["Idempotent-Replay"]) == (202, "true")
    assert [answer.json()["id"] for answer in (first, again)] == [str(Job.objects.get().pk)] * 2
    console_redis.client().flushall()
    assert keyed(engineer, "k-1", {**BODY, "retries": 1}).status_code == 422
    assert keyed(engineer, "k-1", {**BODY, "app": "trip_clusters"}).status_code == 422
    assert keyed(engineer, "k-2").json()["id"] != first.json()["id"]
    assert keyed(signed_in(make_user("ann", "admin")), "k-1").json()["id"] != first.json()["id"]
    assert Job.objects.count() == 3


def test_a_key_holds_though_the_input_has_been_moved_since(engineer, real_redis, settings):
    first = keyed(engineer, "k-1")
    console_redis.client().flushall()
    source = settings.CONSOLE_DATA_DIR / "trips.parquet"
    source.rename(source.with_name("moved.parquet"))
    again = keyed(engineer, "k-1")
    assert (again.status_code, again["Idempotent-Replay"]) == (202, "true")
    assert again.json()["id"] == first.json()["id"]
    console_redis.client().flushall()
    other = keyed(engineer, "k-1", {**BODY, "params": {"source": "other_trips.parquet"}})
    assert "used for another call" in other.json()["detail"]
    assert Job.objects.count() == 1


def test_a_repeated_call_has_its_parameters_not_checked_again(engineer, real_redis, monkeypatch):
    first = keyed(engineer, "k-1")
    console_redis.client().flushall()
    monkeypatch.setattr("jobs.applications._checked", None)
    assert keyed(engineer, "k-1").json()["id"] == first.json()["id"]


def test_a_key_is_free_after_a_day(engineer, real_redis):
    first = keyed(engineer, "k-1").json()["id"]
    console_redis.client().flushall()
    Job.objects.update(requested_at=timezone.now() - timedelta(hours=25))
    assert keyed(engineer, "k-1").json()["id"] != first


def test_the_same_call_twice_at_once_makes_one_job(engineer, real_redis, monkeypatch):
    first = keyed(engineer, "k-1").json()["id"]
    console_redis.client().flushall()
    seen = iter([None, Job.objects.get()])  # the first look came too early
    monkeypatch.setattr("core.lib.made_once._before", lambda _rows, _key: next(seen))
    assert keyed(engineer, "k-1").json()["id"] == first
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({**BODY, "app": "no_such_app"}, ["app"]),
        ({"params": {}}, ["app"]),
        ({**BODY, "params": {}}, ["params.source"]),
        ({**BODY, "params": {"source": "../../etc/passwd"}}, ["params.source"]),
        ({**BODY, "params": {"source": "/etc/passwd"}}, ["params.source"]),
        ({**BODY, "params": {"source": "x" * 70_000}}, ["params"]),
        ({**BODY, "params": []}, ["params"]),
        ({**BODY, "master": "spark://elsewhere:7077"}, ["master"]),
    ],
)
def test_bad_job_is_refused_before_there_is_a_row(engineer, body, fields):
    answer = post(engineer, URL, body)
    assert answer.status_code == 422
    assert faults(answer) == fields
    assert not Job.objects.exists()
    assert not AuditEntry.objects.filter(action="job.submit").exists()


def test_unknown_parameter_is_refused(engineer):
    answer = post(engineer, URL, {**BODY, "params": {"source": "trips.parquet", "extra": 1}})
    assert answer.status_code == 422
    assert not Job.objects.exists()


def test_submit_is_refused_when_too_many_wait(engineer, monkeypatch):
    monkeypatch.setattr(actions, "MOST_QUEUED", 1)
    make_job()
    answer = post(engineer, URL, BODY)
    assert answer.status_code == 409
    assert "1 jobs wait already" in answer.json()["detail"]


def test_applications_are_listed_with_their_parameters(engineer):
    found = engineer.get("/api/v1/spark-apps").json()["results"]
    (app,) = [app for app in found if app["name"] == "clean_trips"]
    assert "source" in [parameter["name"] for parameter in app["parameters"]]


def test_jobs_are_listed_newest_first_and_narrowed(engineer):
    jobs = [make_job(), make_job(state=JobState.STARTING, ui_port=1)]
    listed = engineer.get(URL).json()["results"]
    assert {row["id"] for row in listed} == {str(job.pk) for job in jobs}
    assert [row["id"] for row in engineer.get(f"{URL}?state=queued").json()["results"]] == [str(jobs[0].pk)]
    assert engineer.get(f"{URL}?app=other").json()["results"] == []
    assert faults(engineer.get(f"{URL}?state=asleep")) == ["state"]


def test_cancel_answers_202_and_409_when_it_has_ended(engineer):
    job = make_job()
    for _click in range(2):
        answer = post(engineer, f"{URL}/{job.pk}/cancel", {})
        assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    lost = make_job(state=JobState.LOST, ended_at=timezone.now(), next_attempt_at=None)
    answer = post(engineer, f"{URL}/{lost.pk}/cancel", {})
    assert (answer.status_code, answer.json()["detail"]) == (409, "The job has ended: lost.")


def test_viewer_may_look_and_not_touch():
    viewer = signed_in(make_user("vic", "viewer"))
    job = make_job()
    assert viewer.get(f"{URL}/{job.pk}").status_code == 200
    assert viewer.get(f"{URL}/{job.pk}/log").status_code == 200
    assert post(viewer, URL, BODY).status_code == 403
    assert post(viewer, f"{URL}/{job.pk}/cancel", {}).status_code == 403


def test_unknown_job_is_not_found(engineer):
    url = f"{URL}/00000000-0000-7000-8000-000000000000"
    assert engineer.get(url).status_code == 404
    assert engineer.get(f"{url}/log").status_code == 404
    assert post(engineer, f"{url}/cancel", {}).status_code == 404


def test_log_comes_in_pieces_by_cursor(engineer, program):
    program.does("print('one'); finish({})")
    job = ended(attend(make_job()))
    first = engineer.get(f"{URL}/{job.pk}/log").json()
    assert first == {"text": "one\n", "cursor": "1.4", "is_complete": True}
    assert engineer.get(f"{URL}/{job.pk}/log?cursor=2").json()["text"] == "e\n"
    assert faults(engineer.get(f"{URL}/{job.pk}/log?cursor=-1")) == ["cursor"]
    assert faults(engineer.get(f"{URL}/{job.pk}/log?from=1")) == ["from"]


def test_a_cursor_belongs_to_the_try_that_it_came_with(engineer, job_folders):
    job = make_job(attempt=1)
    for attempt, text in ((1, "the disk is away"), (2, "all is well")):
        job.folder_of(attempt).path.mkdir(parents=True)
        job.folder_of(attempt).log.write_text(text)
    url = f"{URL}/{job.pk}/log"
    first = engineer.get(url).json()
    assert (first["text"], first["is_complete"]) == ("the disk is away", False)
    Job.objects.filter(pk=job.pk).update(attempt=2)
    rest = engineer.get(f"{url}?cursor={first['cursor']}").json()
    assert (rest["text"], rest["cursor"], rest["is_complete"]) == ("", first["cursor"], True)
    assert engineer.get(url).json()["text"] == "all is well"
    assert engineer.get(f"{url}?try=1").json()["text"] == "the disk is away"
    assert engineer.get(f"{url}?try=3").status_code == 404
    assert faults(engineer.get(f"{url}?try=0")) == ["try"]
    page = engineer.get(f"/jobs/{job.pk}/log?try=1").content.decode()
    assert "the disk is away" in page
    assert "?try=2" in page
    text = b"".join(engineer.get(f"/jobs/{job.pk}/log/text?try=1").streaming_content)
    assert text == b"the disk is away"


def test_job_of_a_demonstration_user_is_marked():
    client = signed_in(make_user("demo-engineer", "engineer", is_demo=True))
    assert post(client, URL, BODY).json()["is_demo"] is True
