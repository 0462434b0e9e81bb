"""The worker's half: start what is queued, end what is cancelled, clear old folders. None waits for a job."""

import shutil
from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib import outbox
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound
from jobs import admission, launching, loops, settling
from jobs.models import ACTIVE, ENDED, Job, JobState
from jobs.outcomes import Outcome

log = structlog.get_logger(__name__)

MOST_ATTEMPTS = 10
STOPS_AGAIN = timedelta(seconds=2)


@shared_task
def attend(job_id: str) -> None:
    """Do the next thing for a job: give it a place, start it, or end it. May run twice, or be cut off."""
    job = outbox.claim(Job, job_id)
    if job is None or (job.state == JobState.QUEUED and not admission.admit(job)):
        return
    if job.cancel_asked_at is not None:
        _stop(job)
    else:
        _start(job)


def _start(job: Job) -> None:
    if job.delivery_attempts > MOST_ATTEMPTS:
        why = job.delivery_error or _("Its launcher ends before it begins; launcher.log may say why.")
        _give_up(job, Outcome(JobState.FAILED, why, may_retry=True))
        return
    try:
        with outbox.kept(job):  # two workers that write a job's supplies would spoil each other's files
            launching.start(job)
    except (Conflict, NotFound, InvalidRequest) as error:
        _give_up(job, Outcome(JobState.FAILED, error.message))
    except ConsoleError as error:
        log.warning("job.not_started", job=str(job.pk), error=error.message)
        if _is_still_to_start(job).exists():
            job.mark_retry(error.message)
    else:
        _is_still_to_start(job).update(next_attempt_at=None)


def _is_still_to_start(job: Job) -> QuerySet[Job]:
    """The row, unless it ended meanwhile, or somebody cancelled it: that is a wish of its own."""
    return Job.objects.filter(pk=job.pk, state__in=ACTIVE, cancel_asked_at=None)


def _stop(job: Job) -> None:
    try:
        launching.stop(job)
        is_over = settling.settle(job)
    except OSError as error:
        log.warning("job.folder_unusable", job=str(job.pk), error=str(error))
        is_over = settling.close_without_folder(job, Outcome(JobState.CANCELLED))
    if is_over:
        wake_next()
    else:
        again = timezone.now() + STOPS_AGAIN
        Job.objects.filter(pk=job.pk).exclude(state__in=ENDED).update(next_attempt_at=again)


def _give_up(job: Job, given_up: Outcome) -> None:
    try:
        is_over = settling.give_up(job, given_up)
    except OSError as fault:
        log.warning("job.folder_unusable", job=str(job.pk), error=str(fault))
        is_over = settling.close_without_folder(job, given_up)
    if is_over:
        wake_next()


def wake_next() -> None:
    """A place is free: let the oldest queued jobs ask for it."""
    ready = Q(not_before=None) | Q(not_before__lte=timezone.now())
    waiting = Job.objects.filter(ready, state=JobState.QUEUED).order_by("requested_at", "pk")
    for pk in waiting.values_list("pk", flat=True)[: admission.N_PORTS]:
        Job.objects.filter(pk=pk, state=JobState.QUEUED).update(next_attempt_at=timezone.now())
        attend.delay_on_commit(str(pk))


@shared_task
def clear_old() -> None:
    """Folders of jobs that ended long ago go, with the logs; rows and what the jobs wrote stay."""
    before = timezone.now() - timedelta(days=settings.CONSOLE_JOBS_KEEP_DAYS)
    old = Job.objects.filter(ended_at__lt=before, cleared_at=None)
    loops.OLD_FOLDERS.each(old, _clear, key=lambda job: job.pk, about=lambda job: job.pk)


def _clear(job: Job) -> None:
    for folder in job.folders:
        if folder.exists():
            shutil.rmtree(folder)
    Job.objects.filter(pk=job.pk).update(cleared_at=timezone.now())
