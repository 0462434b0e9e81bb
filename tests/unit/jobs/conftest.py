"""A program in Spark's place, under the real launcher: quick, and as bad as a test wants it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs import processes, sync, tasks
from jobs.models import Job
from scoring import parquet, parquet_reader
from tests.redis_fixtures import *  # noqa: F403
from tests.unit.jobs.spark_apps.made_trips import table, write

# What a test's program may use: `finish` writes the result, as applications do at their end.
PRELUDE = """\
import json, os, pathlib, signal, subprocess, sys, time
starts = pathlib.Path(__file__).with_name("starts")
with starts.open("a") as stream:
    stream.write(f"{os.getpid()}\\n")
argument = dict(zip(sys.argv, sys.argv[1:]))
def finish(value):
    pathlib.Path(argument["--result"]).write_text(json.dumps(value))
"""


class StandIn:
    """The program that jobs run; it notes each of its starts."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "spark-submit"

    def does(self, code: str) -> None:
        """Run this code from now on."""
        self.path.write_text(f"#!{sys.executable}\n{PRELUDE}{code}\n")
        self.path.chmod(0o700)

    @property
    def pids(self) -> list[int]:
        """Of all its starts."""
        starts = self.path.with_name("starts")
        return [int(line) for line in starts.read_text().split()] if starts.exists() else []


@pytest.fixture
def job_folders(tmp_path, settings):
    """Folders of the test's own, and an input file."""
    settings.CONSOLE_VAR_DIR = tmp_path
    settings.CONSOLE_OUTPUT_DIR = tmp_path / "output"
    settings.CONSOLE_DATA_DIR = tmp_path / "data"
    settings.CONSOLE_DATA_DIR.mkdir()
    write(settings.CONSOLE_DATA_DIR / "trips.parquet", table({}))


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    """Sources are looked at as ever, without a child for each."""

    def looked(path):
        try:
            with path.open("rb") as file:
                return parquet_reader.looked(file.fileno())
        except parquet.Refused as error:
            raise parquet.Refused(str(error), path) from error

    monkeypatch.setattr(parquet, "look", lambda paths: [looked(path) for path in paths])


@pytest.fixture
def program(tmp_path, settings, job_folders):
    folder = tmp_path / "bin"
    folder.mkdir()
    stand_in = StandIn(folder)
    stand_in.does("finish({'n': 1})")
    settings.CONSOLE_SPARK_SUBMIT = str(stand_in.path)
    yield stand_in
    for job in (tmp_path / "jobs").glob("*"):
        processes.end(job)


def make_job(**values) -> Job:
    """A queued job."""
    values.setdefault("retries", values.get("retries_left", 0))
    return Job.objects.create(app="clean_trips", params={"source": "trips.parquet"}, **values)


def attend(job: Job) -> Job:
    """What the worker does when it gets the job's message."""
    Job.objects.filter(pk=job.pk).exclude(next_attempt_at=None).update(next_attempt_at=job.requested_at)
    tasks.attend(str(job.pk))
    job.refresh_from_db()
    return job


def follow(job: Job, until: Callable[[Job], object], *, timeout_s: float = 20) -> Job:
    """What watch does, until the job is as wanted."""
    deadline = time.monotonic() + timeout_s
    while True:
        sync.follow_jobs()
        job.refresh_from_db()
        if until(job):
            return job
        assert time.monotonic() < deadline, f"{job.state}: {job.error} {job.folder.log_tail()}"
        time.sleep(0.1)


def ended(job: Job) -> Job:
    """The job, followed to its end."""
    return follow(job, lambda job: job.has_ended)


def running(job: Job, program: StandIn) -> Job:
    """The job, followed until its program has started."""
    return follow(job, lambda job: job.state == "running" and program.pids)
