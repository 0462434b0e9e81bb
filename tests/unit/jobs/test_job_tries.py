"""Tries after a failure, and targets with places of their own."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.lib.errors import InvalidRequest, Unavailable
from jobs import actions, admission, gateway, settling, tasks
from jobs.models import Job
from tests.people import make_user
from tests.unit.jobs.conftest import attend, ended, follow, make_job, running

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("job_folders")]

SLEEPS = "time.sleep(60)"
ONCE_BROKEN = """
if len(starts.read_text().split()) == 1:
    raise OSError("the disk is away")
finish({"n": 2})
"""


@pytest.fixture(autouse=True)
def no_wait(monkeypatch):
    monkeypatch.setattr(settling, "FIRST_WAIT_S", 0)


def waiting(job: Job) -> Job:
    """The job, followed until it waits for its next try."""
    return follow(job, lambda job: job.state == "queued" and job.attempt > 1)


def test_a_failure_is_tried_again_in_a_folder_of_its_own(program):
    program.does(ONCE_BROKEN)
    job = waiting(attend(make_job(retries_left=2)))
    assert (job.attempt, job.retries_left, job.ui_port, job.ended_at) == (2, 1, None, None)
    assert "OSError: the disk is away" in job.last_error
    job = ended(attend(job))
    assert (job.state, job.result, job.error, job.attempt) == ("succeeded", {"n": 2}, "", 2)
    assert len(program.pids) == 2
    assert [path.name for path in job.folders] == [str(job.pk), f"{job.pk}.2"]
    assert "the disk is away" in job.folder_of(1).log.read_text()
    tasks._clear(job)
    assert [path for path in job.folders if path.exists()] == []


def test_the_last_failure_is_the_jobs(program):
    program.does("raise OSError('still away')")
    job = ended(attend(waiting(attend(make_job(retries_left=1)))))
    assert (job.state, job.attempt, job.retries_left) == ("failed", 2, 0)
    assert "still away" in job.error


@pytest.mark.parametrize(
    "code",
    [
        "class SourceRefused(ValueError): pass\nraise SourceRefused('it has no column fare')",
        "sys.exit(0)",  # without a result: a fault of the application
    ],
)
def test_what_would_fail_again_is_not_tried_again(program, code):
    program.does(code)
    job = ended(attend(make_job(retries_left=5)))
    assert (job.state, job.attempt) == ("failed", 1)


def test_a_job_whose_source_was_away_is_tried_again(program):
    program.does("class SourceAway(RuntimeError): pass\nraise SourceAway('Kafka does not answer: x')")
    job = waiting(attend(make_job(retries_left=1)))
    assert "Kafka does not answer: x" in job.last_error


def test_a_cancelled_job_is_not_tried_again(program):
    program.does(SLEEPS)
    job = running(attend(make_job(retries_left=5)), program)
    actions.cancel_job(job, by=make_user("eng", "engineer"))
    assert ended(attend(job)).state == "cancelled"


def test_waits_grow_and_nobody_waits_behind_one_that_waits(program, monkeypatch):
    monkeypatch.setattr(settling, "FIRST_WAIT_S", 60)
    program.does("raise OSError('away')")
    job = waiting(attend(make_job(retries_left=5)))
    assert timedelta(seconds=50) < job.not_before - timezone.now() <= timedelta(seconds=60)
    assert attend(job).state == "queued"
    assert admission.n_before(make_job()) == 0
    Job.objects.filter(pk=job.pk).update(
        not_before=timezone.now(), next_attempt_at=timezone.now(), retries_left=3
    )
    job = follow(attend(job), lambda job: job.attempt == 3)
    assert timedelta(seconds=200) < job.not_before - timezone.now() <= timedelta(seconds=240)


@pytest.mark.parametrize("retries", [-1, 6])
def test_more_tries_than_there_may_be_are_refused(retries):
    with pytest.raises(InvalidRequest, match="from 0 to 5"):
        actions.submit_job(
            "clean_trips",
            params={"source": "trips.parquet"},
            by=make_user("eng", "engineer"),
            retries=retries,
        )


# --- targets


@pytest.fixture
def cluster(settings):
    settings.CONSOLE_SPARK_TARGETS = {"cluster": {"master": "spark://127.0.0.1:9", "at_once": 1}}
    settings.CONSOLE_JOBS_AT_ONCE = 1


def test_each_target_has_places_of_its_own(program, cluster, monkeypatch):
    monkeypatch.setattr(gateway, "require_master", lambda target: None)
    program.does(SLEEPS)
    jobs = [make_job(target=target) for target in ("default", "default", "cluster", "cluster")]
    assert [attend(job).state for job in jobs] == ["starting", "queued", "starting", "queued"]
    assert [admission.n_before(job) for job in (jobs[1], jobs[3])] == [0, 0]


def test_a_master_that_is_away_is_told_and_in_the_end_the_jobs_failure(program, cluster, monkeypatch):
    job = attend(make_job(target="cluster"))
    assert (job.state, job.delivery_error) == (
        "starting",
        "The Spark master spark://127.0.0.1:9 does not answer.",
    )
    monkeypatch.setattr(tasks, "MOST_ATTEMPTS", 0)
    job = attend(job)
    assert (job.state, job.error) == ("failed", "The Spark master spark://127.0.0.1:9 does not answer.")
    assert program.pids == []


def test_a_target_that_is_no_more_fails_the_job_in_words(program):
    job = attend(make_job(target="gone"))
    assert (job.state, job.error) == ("failed", "There is no target “gone”; there are: default.")


def test_one_of_several_masters_is_enough(live_port):
    target = gateway.Target("x", f"spark://127.0.0.1:9,127.0.0.1:{live_port}", 1, {})
    gateway.require_master(target)
    gateway.require_master(gateway.Target("x", "yarn", 1, {}))
    with pytest.raises(Unavailable):
        gateway.require_master(gateway.Target("x", "spark://127.0.0.1:9,nonsense", 1, {}))


@pytest.fixture
def live_port():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_secret_of_a_master_is_in_a_private_file_alone(settings, tmp_path, cluster):
    settings.CONSOLE_SPARK_AUTH_SECRET = "the-secret"
    job = make_job(target="cluster")
    job.folder.path.mkdir(parents=True)
    target = gateway.target("cluster")
    gateway.write_properties(job.folder, target)
    words = gateway.command(
        "x",
        application=tmp_path / "app.py",
        folder=job.folder,
        output_dir=tmp_path,
        ui_port=1,
        on=target,
    )
    assert words[words.index("--properties-file") + 1] == str(job.folder.properties)
    assert "the-secret" not in " ".join(words) + str(gateway.environment(job.folder))
    assert job.folder.properties.stat().st_mode & 0o777 == 0o600
    job.folder.properties.unlink()
    gateway.write_properties(job.folder, gateway.target("default"))
    assert not job.folder.properties.exists()


@pytest.mark.parametrize(("is_streaming", "left"), [(True, 2), (False, 0)])
def test_a_streaming_job_that_ran_for_an_hour_has_its_retries_again(program, monkeypatch, is_streaming, left):
    """It runs for months: a broker that restarts now and then must not use them up."""
    monkeypatch.setattr(settling, "FIRST_WAIT_S", 15)
    program.does("raise OSError('the broker is away')")
    job = make_job(retries=3, retries_left=1, attempt=3, is_streaming=is_streaming)
    long_ago = timezone.now() - timedelta(hours=2)
    monkeypatch.setattr(settling, "started_at", lambda _folder: long_ago)
    job = follow(attend(job), lambda job: job.state == "queued" and job.attempt > 3)
    assert (job.attempt, job.retries_left) == (4, left)
    waits_s = (job.not_before - timezone.now()).total_seconds()
    assert waits_s == pytest.approx(15 if is_streaming else 60, abs=12)


def test_a_launcher_that_cannot_start_is_a_failure_that_may_not_come_again(monkeypatch):
    monkeypatch.setattr(tasks.launching, "start", lambda _job: pytest.fail("it was tried often enough"))
    job = make_job(retries_left=1)
    assert admission.admit(job)
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(
        delivery_attempts=tasks.MOST_ATTEMPTS, delivery_error="Kafka is away", next_attempt_at=now
    )
    tasks.attend(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.attempt, job.retries_left, job.ui_port) == ("queued", 2, 0, None)
    assert job.last_error == "Kafka is away"
