"""The watcher's half: launchers and drivers into rows, found by their folders, whoever started them."""

import contextlib
from typing import Any

from django.utils import timezone

from core.lib import live
from core.lib.errors import Unavailable
from core.lib.poll import poll
from jobs import gateway, loops, settling, tasks
from jobs.models import ACTIVE, Job, JobState


@poll(every_s=1, service=gateway.SERVICE)
def follow_jobs() -> None:
    """Each job that has a place: settled when its processes are gone, then how far the others are."""
    jobs = list(Job.objects.filter(state__in=ACTIVE).order_by("pk"))
    held = [job for job in loops.ENDS.each(jobs, _held, key=_id, about=_id) if job is not None]
    loops.PROGRESS.each(held, _note_progress, key=_id, about=_id)


def _id(job: Job) -> str:
    return str(job.pk)


def _held(job: Job) -> Job | None:
    """The job while its launcher lives; else it is settled."""
    if job.folder.is_held:
        return job
    if settling.settle(job):
        tasks.wake_next()
    else:
        _start_again(job)
    return None


def _start_again(job: Job) -> None:
    """Its launcher died before it began: a worker is told, unless one knows already."""
    lost = Job.objects.filter(pk=job.pk, state=JobState.STARTING, next_attempt_at=None)
    if not job.folder.has_begun and lost.update(next_attempt_at=timezone.now()):
        tasks.attend.delay_on_commit(str(job.pk))


def _note_progress(job: Job) -> None:
    assert job.ui_port is not None  # a constraint of every active job
    values: dict[str, Any] = {}
    if job.state == JobState.STARTING and job.folder.launcher is not None:
        values = {"state": JobState.RUNNING, "started_at": settling.started_at(job.folder)}
    if job.is_streaming and (progress := job.folder.progress) is not None:
        values["progress"] = progress
    with contextlib.suppress(Unavailable):  # the driver starts, ends or is busy: that is no failure
        if not job.is_streaming:
            values |= vars(gateway.progress(str(job.pk), job.ui_port))
        elif (
            not job.spark_app_id
        ):  # its batches are Spark jobs without end, of which the driver keeps the last
            values["spark_app_id"] = gateway.application_id(str(job.pk), job.ui_port)
    changed = {name: value for name, value in values.items() if getattr(job, name) != value}
    if changed and Job.objects.filter(pk=job.pk, state__in=ACTIVE).update(**changed):
        live.publish("jobs", [job.pk])
        live.publish(f"job:{job.pk}")
