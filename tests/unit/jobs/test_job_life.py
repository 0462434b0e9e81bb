"""Jobs from queued to their end: the real launcher, real processes, a small program in Spark's place."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import psutil
import pytest
from django.db import connection
from django.utils import timezone

from core.lib.errors import Conflict
from jobs import actions, launching, processes, sync, tasks
from jobs.models import Job, JobState
from tests.people import make_user
from tests.unit.jobs.conftest import attend, ended, follow, make_job, running

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("job_folders")]

SLEEPS = "time.sleep(60)"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
WITH_CHILD = f"subprocess.Popen([sys.executable, '-c', 'import os, time; os.setsid(); {SLEEPS}']); {SLEEPS}"


@pytest.fixture
def engineer():
    return make_user("eng", "engineer")


def is_alive(job: Job) -> bool:
    return bool(processes.of(job.folder.path))


def kill_launcher(job: Job) -> None:
    os.kill(job.folder.launcher["pid"], signal.SIGKILL)


def test_job_succeeds_with_the_result_of_its_application(program):
    job = ended(attend(make_job()))
    assert (job.state, job.result, job.exit_code, job.error) == ("succeeded", {"n": 1}, 0, "")
    assert job.started_at <= job.ended_at
    assert job.next_attempt_at is None
    assert len(program.pids) == 1


def test_driver_sees_no_secret_of_the_console(program, monkeypatch):
    monkeypatch.setenv("CONSOLE_SECRET_KEY", "the-secret")
    program.does("finish(dict(os.environ))")
    job = ended(attend(make_job()))
    assert "the-secret" not in str(job.result)
    assert not [name for name in job.result if name.startswith("CONSOLE_")]


def test_job_fails_with_the_words_of_the_exception(program):
    program.does("raise ValueError('no column fare')")
    job = ended(attend(make_job()))
    assert (job.state, job.exit_code, job.error) == ("failed", 1, "ValueError: no column fare")


def test_job_fails_when_its_driver_is_killed(program):
    program.does("os.kill(os.getpid(), signal.SIGKILL)")
    job = ended(attend(make_job()))
    assert (job.state, job.exit_code, job.error) == ("failed", -9, "The driver was killed (SIGKILL).")


def test_job_fails_when_there_is_no_such_program(program, settings):
    settings.CONSOLE_SPARK_SUBMIT = "/no/such/spark-submit"
    job = ended(attend(make_job()))
    assert job.state == "failed"
    assert "/no/such/spark-submit" in job.error


def test_job_fails_when_its_application_is_no_more(program):
    job = attend(make_job())
    assert ended(job).state == "succeeded"
    gone = attend(Job.objects.create(app="no_such_app"))
    assert gone.state == "failed"
    assert "no_such_app" in gone.error


def test_one_driver_runs_when_the_task_runs_again(program):
    program.does(SLEEPS)
    job = running(attend(make_job()), program)
    for _again in range(3):
        Job.objects.filter(pk=job.pk).update(next_attempt_at=timezone.now())
        tasks.attend(str(job.pk))
    assert len(program.pids) == 1
    assert len(processes.of(job.folder.path)) == 2


def test_one_driver_runs_when_launchers_start_at_the_same_time(program):
    program.does("time.sleep(0.3); finish({})")
    job = make_job(state=JobState.STARTING, ui_port=1)
    launching._prepare(job, job.folder)
    argv = [sys.executable, "-m", "jobs.launcher", str(job.folder.path)]
    environment = {**os.environ, processes.MARK: str(job.folder.path)}
    launchers = [subprocess.Popen(argv, env=environment) for _ in range(4)]
    assert 0 in [launcher.wait(20) for launcher in launchers]
    assert ended(job).state == "succeeded"
    subprocess.run(argv, env=environment, check=True, timeout=20)
    time.sleep(0.5)
    assert len(program.pids) == 1


def test_job_starts_again_when_the_worker_died_before_it_forked(program, monkeypatch):
    job = make_job()
    with monkeypatch.context() as patch:
        patch.setattr(launching, "start", lambda _job: sys.exit("the worker dies"))
        with pytest.raises(SystemExit):
            tasks.attend(str(job.pk))
    job.refresh_from_db()
    assert job.state == "starting"
    assert job.next_attempt_at > timezone.now()  # the lease: a sweep finds it afterwards
    assert ended(attend(job)).state == "succeeded"


def test_job_starts_again_when_the_launcher_died_before_it_began(program):
    job = make_job(state=JobState.STARTING, ui_port=1, next_attempt_at=None)
    follow(job, lambda job: job.next_attempt_at)
    assert ended(attend(job)).state == "succeeded"


def test_driver_ends_with_its_launcher_and_the_job_is_lost(program):
    program.does(WITH_CHILD)
    job = running(attend(make_job()), program)
    follow(job, lambda job: len(processes.of(job.folder.path)) == 3)
    kill_launcher(job)
    job = ended(job)
    assert (job.state, job.error) == ("lost", "Its launcher was killed, or the machine stopped.")
    assert not is_alive(job)


def test_children_end_when_the_driver_is_killed(program):
    program.does(WITH_CHILD)
    job = running(attend(make_job()), program)
    follow(job, lambda job: len(processes.of(job.folder.path)) == 3)
    os.kill(program.pids[0], signal.SIGKILL)
    assert ended(job).state == "failed"
    assert not is_alive(job)


def test_launcher_that_is_told_to_end_says_so(program):
    program.does(SLEEPS)
    job = running(attend(make_job()), program)
    os.kill(job.folder.launcher["pid"], signal.SIGTERM)
    job = ended(job)
    assert (job.state, job.error) == ("lost", "It was ended from outside: the stack was stopped.")


def test_job_of_an_earlier_boot_is_lost(program):
    job = make_job(state=JobState.RUNNING, ui_port=1, next_attempt_at=None)
    job.folder.path.mkdir(parents=True)
    pid_of_somebody_else = os.getpid()
    job.folder.write("launcher.json", {"pid": pid_of_somebody_else, "boot_id": "other", "started_at": 1.0})
    assert ended(job).state == "lost"


def test_running_job_whose_folder_is_gone_is_lost(program):
    assert ended(make_job(state=JobState.RUNNING, ui_port=1, next_attempt_at=None)).state == "lost"


def test_job_fails_when_no_launcher_stays(program, monkeypatch):
    monkeypatch.setattr(launching, "start", lambda _job: None)
    job = make_job()
    for _attempt in range(tasks.MOST_ATTEMPTS + 2):
        attend(job)
        sync.follow_jobs()
    assert (job.state, job.error) == (
        "failed",
        "Its launcher ends before it begins; launcher.log may say why.",
    )


def test_folder_that_cannot_be_used_holds_up_no_other_job(program, tmp_path):
    (tmp_path / "jobs").mkdir()
    bad = make_job(state=JobState.STARTING, ui_port=1, next_attempt_at=None)
    bad.folder.path.write_text("a file in its place")
    assert ended(attend(make_job())).state == "succeeded"


def test_damaged_folder_holds_up_no_other_job(program, engineer):
    bad = make_job(state=JobState.RUNNING, ui_port=1, next_attempt_at=None)
    bad.folder.path.mkdir(parents=True)
    (bad.folder.path / "launcher.json").write_text("{")
    assert ended(attend(make_job())).state == "succeeded"
    assert attend(actions.cancel_job(bad, by=engineer)).state == "cancelled"


def test_unusable_result_holds_up_no_other_job(program):
    program.does("pathlib.Path(argument['--result']).write_text('{\"a\": 1e999}')")
    bad = attend(make_job())
    while not bad.folder.end:  # it has read its program; nobody has settled it yet
        time.sleep(0.05)
    program.does("finish({})")
    good = attend(make_job())
    assert ended(good).state == "succeeded"
    assert ended(bad).state == "failed"


def test_job_that_runs_too_long_is_ended(program, settings):
    settings.CONSOLE_JOBS_LONGEST_HOURS = 0.5 / 3600
    program.does(WITH_CHILD)
    job = ended(attend(make_job()))
    assert job.state == "failed"
    assert "longer than a job may" in job.error
    assert not is_alive(job)


def test_job_fails_when_its_source_is_gone_before_it_starts(program, settings):
    job = make_job()
    (settings.CONSOLE_DATA_DIR / "trips.parquet").unlink()
    attend(job)
    assert job.state == "failed"
    assert "trips.parquet" in job.error
    assert program.pids == []


def test_source_that_leads_elsewhere_by_the_time_of_the_start_is_refused(program, settings, tmp_path):
    job = make_job()
    source = settings.CONSOLE_DATA_DIR / "trips.parquet"
    source.rename(tmp_path / "secret.parquet")
    source.symlink_to(tmp_path / "secret.parquet")
    assert attend(job).state == "failed"
    assert "outside" in job.error


def test_job_says_why_when_its_output_folder_cannot_be_made(program, settings, tmp_path):
    settings.CONSOLE_OUTPUT_DIR = tmp_path / "file"
    settings.CONSOLE_OUTPUT_DIR.write_text("")
    job = make_job()
    attend(job)
    assert "Not a directory" in job.delivery_error
    for _attempt in range(tasks.MOST_ATTEMPTS + 1):
        attend(job)
    assert job.state == "failed"
    assert "Not a directory" in job.error


def test_job_gives_its_place_back_when_its_folder_cannot_be_used(program, tmp_path):
    (tmp_path / "jobs").mkdir()
    job = make_job(state=JobState.STARTING, ui_port=1)
    job.folder.path.write_text("a file in its place")
    for _attempt in range(tasks.MOST_ATTEMPTS + 2):
        attend(job)
    assert job.state == "failed"


# --- cancel


def test_job_whose_folder_cannot_be_used_is_cancelled_all_the_same(program, engineer, tmp_path):
    (tmp_path / "jobs").mkdir()
    job = make_job(state=JobState.STARTING, ui_port=1)
    job.folder.path.write_text("a file in its place")
    assert attend(actions.cancel_job(job, by=engineer)).state == "cancelled"


def test_queued_job_that_is_cancelled_never_starts(program, engineer):
    job = actions.cancel_job(make_job(), by=engineer)
    assert job.state == "cancelled"
    tasks.attend(str(job.pk))
    launching_again = actions.cancel_job(job, by=engineer)
    assert launching_again.state == "cancelled"
    assert not job.folder.path.exists()
    assert program.pids == []


def test_starting_job_that_is_cancelled_never_starts(program, engineer):
    job = actions.cancel_job(make_job(state=JobState.STARTING, ui_port=1), by=engineer)
    assert job.state == "starting"
    attend(job)
    assert job.state == "cancelled"
    assert not job.output_dir.exists()
    launching._prepare(job, job.folder)
    argv = [sys.executable, "-m", "jobs.launcher", str(job.folder.path)]
    subprocess.run(argv, check=True, timeout=20)  # one that was on its way
    assert program.pids == []


def test_running_job_that_is_cancelled_ends_with_all_its_processes(program, engineer):
    program.does(WITH_CHILD)
    job = running(attend(make_job()), program)
    attend(actions.cancel_job(job, by=engineer))
    job = ended(job)
    assert (job.state, job.error, job.cancel_asked_by) == ("cancelled", "", engineer)
    assert not is_alive(job)


def test_deaf_driver_is_killed_when_its_job_is_cancelled(program, engineer, monkeypatch):
    monkeypatch.setattr(launching, "KILL_AFTER_S", 0.5)
    program.does(DEAF)
    job = running(attend(make_job()), program)
    attend(actions.cancel_job(job, by=engineer))
    assert ended(job).state == "cancelled"
    assert not is_alive(job)


def test_stopped_launcher_is_killed_some_time_after_the_cancel(program, engineer):
    program.does(SLEEPS)
    job = running(attend(make_job()), program)
    psutil.Process(job.folder.launcher["pid"]).suspend()
    attend(actions.cancel_job(job, by=engineer))
    assert job.state == "running"
    long_ago = timezone.now() - launching.KILL_ALL_AFTER - timedelta(seconds=1)
    Job.objects.filter(pk=job.pk).update(cancel_asked_at=long_ago)
    attend(job)
    assert ended(job).state == "cancelled"
    assert not is_alive(job)


def test_cancel_twice_is_one_wish(program, engineer, django_user_model):
    from core.audit.models import AuditEntry

    program.does(SLEEPS)
    job = running(attend(make_job()), program)
    for _click in range(2):
        actions.cancel_job(job, by=engineer)
    entries = AuditEntry.objects.filter(action="job.cancel", object_id=str(job.pk))
    assert [(entry.actor_name, entry.before) for entry in entries] == [("eng", {"state": "running"})]


def test_cancel_of_an_ended_job_is_refused(program, engineer):
    job = ended(attend(make_job()))
    with pytest.raises(Conflict, match="The job has ended: succeeded"):
        actions.cancel_job(job, by=engineer)


# --- places


def test_jobs_wait_in_order_for_a_place(program, settings):
    settings.CONSOLE_JOBS_AT_ONCE = 1
    program.does(SLEEPS)
    first, second, third = make_job(), make_job(), make_job()
    running(attend(first), program)
    assert attend(second).state == attend(third).state == "queued"
    os.kill(first.folder.launcher["pid"], signal.SIGTERM)
    ended(first)
    assert attend(third).state == "queued"
    assert attend(second).state == "starting"


def test_jobs_at_once_have_ports_of_their_own(program):
    program.does(SLEEPS)
    jobs = [attend(make_job()) for _ in range(2)]
    assert len({job.ui_port for job in jobs}) == 2
    assert all(f"spark.ui.port={job.ui_port}" in job.folder.launch["argv"] for job in jobs)


@pytest.mark.django_db(transaction=True)
def test_two_workers_admit_no_more_jobs_than_there_are_places(program, settings):
    settings.CONSOLE_JOBS_AT_ONCE = 1
    program.does(SLEEPS)
    jobs = [make_job() for _ in range(4)]

    def work(job: Job) -> None:
        tasks.attend(str(job.pk))
        connection.close()

    workers = [threading.Thread(target=work, args=[job]) for job in jobs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert Job.objects.filter(state="starting").count() == 1
    assert jobs[0].pk == Job.objects.get(state="starting").pk


# --- what is left


def test_folder_of_an_old_job_is_cleared_and_its_output_stays(program, settings):
    program.does("pathlib.Path(argument['--output'], 'part').write_text('x'); finish({})")
    old, young = ended(attend(make_job())), ended(attend(make_job()))
    long_ago = timezone.now() - timedelta(days=settings.CONSOLE_JOBS_KEEP_DAYS + 1)
    Job.objects.filter(pk=old.pk).update(ended_at=long_ago)
    tasks.clear_old()
    old.refresh_from_db()
    assert old.cleared_at
    assert not old.folder.path.exists()
    assert (old.output_dir / "part").exists()
    assert young.folder.path.exists()


def test_driver_that_is_killed_leaves_no_temporary_files(program):
    program.does("pathlib.Path(os.environ['TMPDIR'], 'shuffle').write_text('x'); " + SLEEPS)
    job = running(attend(make_job()), program)
    os.kill(program.pids[0], signal.SIGKILL)
    assert not ended(job).folder.temporary.exists()


def test_driver_that_is_killed_leaves_no_unfinished_table(program):
    part = "pathlib.Path(argument['--output'], '.trips.unfinished', 'part')"
    program.does(f"{part}.parent.mkdir(); {part}.write_text('x'); {SLEEPS}")
    job = running(attend(make_job()), program)
    follow(job, lambda job: list(job.output_dir.glob(".*")))
    os.kill(program.pids[0], signal.SIGKILL)
    assert not ended(job).output_dir.exists()


def test_folder_that_cannot_be_cleared_keeps_no_other(program, tmp_path, monkeypatch):
    first, second = ended(attend(make_job())), ended(attend(make_job()))
    Job.objects.update(ended_at=timezone.now() - timedelta(days=365))
    removed = shutil.rmtree

    def rmtree(path, **options):
        if path == first.folder.path:
            raise PermissionError(13, "Permission denied")
        removed(path, **options)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    tasks.clear_old()
    assert first.folder.path.exists()
    assert not second.folder.path.exists()


def test_jobs_of_the_demonstration_are_removed(program):
    program.does(SLEEPS)
    active = running(attend(make_job(is_demo=True)), program)
    kept, queued = make_job(), make_job(is_demo=True)
    assert actions.remove_demo() == 1
    assert not Job.objects.filter(pk=queued.pk).exists()
    assert ended(attend(active)).state == "cancelled"
    assert actions.remove_demo() == 1
    assert not active.folder.path.exists()
    assert Job.objects.get() == kept
