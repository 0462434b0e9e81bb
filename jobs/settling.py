"""Bringing a row in line with what its processes left, once they are gone. Anybody may do it, at any time."""

import contextlib
import shutil
import time
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone

from core.lib import live, metrics
from core.lib.times import moment
from jobs import processes
from jobs.folders import Folder
from jobs.models import Job, JobState
from jobs.outcomes import Outcome, outcome
from jobs.spark_apps import running

log = structlog.get_logger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 15, 600  # before another try, twice as long each time
STEADY = timedelta(hours=1)  # a streaming job that ran so long has all its retries again


def settle(job: Job) -> bool:
    """Write how the job ended; False while it runs, or while a worker may still start it.

    Under the folder's lock: whatever a launcher that was killed left running is ended first, and a job that
    has not begun never will. One that ran and whose folder somebody removed is over, too.
    """
    folder = job.folder
    with folder.locked() as is_ours:
        is_over = folder.has_begun or job.cancel_asked_at is not None or job.state == JobState.RUNNING
        if not (is_ours and is_over):
            return False
        job.refresh_from_db(fields=["cancel_asked_at"])  # who asks first writes, then tells the launcher
        processes.end(folder.path)
        if not folder.has_begun:
            folder.write("exit.json", {"is_stopped": True, "ended_at": time.time()})
        _tidy(job)
        return close(job.pk, outcome(job, folder), folder)


def _tidy(job: Job) -> None:
    """Passwords go; a driver that was killed leaves its shuffles, and tables that it had not finished."""
    for secret in (job.folder.access, job.folder.properties):
        secret.unlink(missing_ok=True)
    for folder in (job.folder.temporary, job.folder.supplies):
        shutil.rmtree(folder, ignore_errors=True)
    for unfinished in job.output_dir.glob(running.UNFINISHED.format(name="*")):
        shutil.rmtree(unfinished, ignore_errors=True)
    with contextlib.suppress(OSError):  # it has written something, or nothing has made it
        job.output_dir.rmdir()


def give_up(job: Job, reason: Outcome) -> bool:
    """The same for a job that no launcher can be started for; False when one has been after all."""
    folder = job.folder
    with folder.locked() as is_ours:
        if not is_ours or folder.has_begun:
            return False
        folder.write("exit.json", {"error": reason.error, "ended_at": time.time()})
        _tidy(job)
        return close(job.pk, reason, folder)


def close_without_folder(job: Job, found: Outcome) -> bool:
    """The same where the folder cannot be read or written: it must not hold a place for ever."""
    processes.end(job.folder.path)
    return close(job.pk, found)


@transaction.atomic
def close(pk: Any, found: Outcome, folder: Folder | None = None) -> bool:
    """Write the end of a job once; False when somebody has."""
    job = Job.objects.select_for_update(of=("self",)).filter(pk=pk).first()
    if job is None or job.has_ended:
        return False
    if job.is_streaming and _ran(job, folder) >= STEADY:
        job.retries_left = max(job.retries_left, job.retries)
    if found.may_retry and job.retries_left and job.cancel_asked_at is None:
        _queue_again(job, found)
        return True
    job.state, job.error, job.result, job.exit_code = found.state, found.error, found.result, found.exit_code
    job.started_at = job.started_at or started_at(folder)
    job.ended_at = _ended_at(folder)
    if job.is_streaming and folder is not None:
        job.progress = folder.progress or job.progress
    job.next_attempt_at = None
    job.delivery_error = ""
    job.save()
    metrics.JOBS_ENDED.labels(job.state).inc()
    live.publish("jobs", [job.pk])
    live.publish(f"job:{job.pk}")
    return True


def _queue_again(job: Job, found: Outcome) -> None:
    """The same row waits for its next try, with a folder of its own."""
    n_before = max(job.retries - job.retries_left, 0)  # a job that older code queued was asked for with none
    wait_s = min(FIRST_WAIT_S * 2**n_before, LONGEST_WAIT_S)
    job.last_error, job.state, job.ui_port, job.started_at = found.error, JobState.QUEUED, None, None
    job.attempt, job.retries_left = job.attempt + 1, job.retries_left - 1
    job.not_before = job.next_attempt_at = timezone.now() + timedelta(seconds=wait_s)
    job.stages_done = job.stages_total = job.tasks_done = job.tasks_total = 0
    job.delivery_attempts, job.delivery_error, job.spark_app_id = 0, "", ""
    job.save()
    log.info("job.tried_again", job=str(job.pk), attempt=job.attempt, wait_s=wait_s, error=found.error)
    live.publish("jobs", [job.pk])
    live.publish(f"job:{job.pk}")


def _ran(job: Job, folder: Folder | None) -> timedelta:
    """How long the try that ended lasted; nothing for one that never began."""
    began = job.started_at or started_at(folder)
    return _ended_at(folder) - began if began else timedelta()


def started_at(folder: Folder | None) -> datetime | None:
    """When its launcher started the driver."""
    launcher = folder.launcher if folder else None
    return moment(launcher.get("started_at")) if launcher else None


def _ended_at(folder: Folder | None) -> datetime:
    end = folder.end if folder else None
    return (moment(end.get("ended_at")) if end else None) or timezone.now()
