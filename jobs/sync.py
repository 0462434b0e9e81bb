"""The watcher's half: launchers and drivers into rows, found by their folders, whoever started them."""

import contextlib

import structlog
from django.utils import timezone

from core.lib import live
from core.lib.errors import Unavailable
from core.lib.poll import poll
from jobs import gateway, settling, tasks
from jobs.models import ACTIVE, Job, JobState

log = structlog.get_logger(__name__)


@poll(every_s=1, service=gateway.SERVICE)
def follow_jobs() -> None:
    """Each job that has a place: settled when its processes are gone, then how far the others are."""
    jobs = list(Job.objects.filter(state__in=ACTIVE).order_by("pk"))
    held = [job for job in jobs if not _settle(job)]
    for job in held:
        _note_progress(job)


def _settle(job: Job) -> bool:
    """False while a launcher lives."""
    try:
        if job.folder.is_held:
            return False
        if settling.settle(job):
            tasks.wake_next()
        else:
            _start_again(job)
    except OSError as error:  # of its folder: the other jobs must not wait for that
        log.warning("job.folder_unusable", job=str(job.pk), error=str(error))
    return True


def _start_again(job: Job) -> None:
    """Its launcher died before it began: a worker is told, unless one knows already."""
    lost = Job.objects.filter(pk=job.pk, state=JobState.STARTING, next_attempt_at=None)
    if not job.folder.has_begun and lost.update(next_attempt_at=timezone.now()):
        tasks.attend.delay_on_commit(str(job.pk))


def _note_progress(job: Job) -> None:
    assert job.ui_port is not None  # a constraint of every active job
    values = {}
    if job.state == JobState.STARTING and job.folder.launcher is not None:
        values = {"state": JobState.RUNNING, "started_at": settling.started_at(job.folder)}
    with contextlib.suppress(Unavailable):  # the driver starts, ends or is busy: that is no failure
        values |= vars(gateway.progress(str(job.pk), job.ui_port))
    changed = {name: value for name, value in values.items() if getattr(job, name) != value}
    if changed and Job.objects.filter(pk=job.pk, state__in=ACTIVE).update(**changed):
        live.publish("jobs", [job.pk])
        live.publish(f"job:{job.pk}")
