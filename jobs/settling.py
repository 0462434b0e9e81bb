"""Bringing a row in line with what its processes left, once they are gone. Anybody may do it, at any time."""

import contextlib
import shutil
import time
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from core.lib import live, metrics
from core.lib.times import moment
from jobs import processes
from jobs.folders import Folder
from jobs.models import Job, JobState
from jobs.outcomes import Outcome, outcome
from jobs.spark_apps import running


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
    job.folder.access.unlink(missing_ok=True)
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
    job.state, job.error, job.result, job.exit_code = found.state, found.error, found.result, found.exit_code
    job.started_at = job.started_at or started_at(folder)
    job.ended_at = _ended_at(folder)
    job.next_attempt_at = None
    job.delivery_error = ""
    job.save()
    metrics.JOBS_ENDED.labels(job.state).inc()
    live.publish("jobs", [job.pk])
    live.publish(f"job:{job.pk}")
    return True


def started_at(folder: Folder | None) -> datetime | None:
    """When its launcher started the driver."""
    launcher = folder.launcher if folder else None
    return moment(launcher.get("started_at")) if launcher else None


def _ended_at(folder: Folder | None) -> datetime:
    end = folder.end if folder else None
    return (moment(end.get("ended_at")) if end else None) or timezone.now()
