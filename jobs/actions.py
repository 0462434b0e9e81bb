"""The click's half: submit and cancel jobs."""

import json
import shutil
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit.actions import record
from core.lib import live
from core.lib.errors import Conflict, InvalidRequest, NotFound
from jobs import applications, settling, supplies, tasks
from jobs.models import ENDED, Job, JobState
from jobs.outcomes import Outcome

SCOPE = "jobs.run"
MOST_QUEUED = 100
LARGEST_PARAMS_BYTES = 64 * 1024


@transaction.atomic
def submit_job(app: str, *, params: dict[str, Any], by: User) -> Job:
    """Queue an application with these parameters; it starts as soon as there is a place.

    Raises InvalidRequest for an unknown application and for parameters that it does not take, Denied when it
    needs more rights than the user has.
    """
    policy.check(by, SCOPE, app)
    checked = _checked(app, params, by)
    if Job.objects.filter(state=JobState.QUEUED).count() >= MOST_QUEUED:
        raise Conflict(_("%(n)d jobs wait already: submit it later.") % {"n": MOST_QUEUED})
    job = Job.objects.create(app=app, params=checked, requested_by=by, is_demo=by.is_demo)
    record("job.submit", job, by=by, after={"app": app, "params": checked})
    tasks.attend.delay_on_commit(str(job.pk))
    live.publish("jobs", [job.pk])
    return job


@transaction.atomic
def cancel_job(job: Job, *, by: User) -> Job:
    """End a job: at once while it is queued, else a worker ends its processes. Again is no harm.

    Raises Conflict when it ended by itself.
    """
    policy.check(by, SCOPE, job.app)
    job = Job.objects.select_for_update(of=("self",)).get(pk=job.pk)
    if job.cancel_asked_at is not None and job.state != JobState.SUCCEEDED:
        return job
    if job.has_ended:
        raise Conflict(_("The job has ended: %(state)s.") % {"state": job.get_state_display()})
    _ask_to_end(job, by=by)
    return job


def _ask_to_end(job: Job, *, by: User | None) -> None:
    """End what is queued, have a worker end what runs. The caller holds the row."""
    job.cancel_asked_at, job.cancel_asked_by = timezone.now(), by
    job.next_attempt_at = job.cancel_asked_at
    job.save(update_fields=["cancel_asked_at", "cancel_asked_by", "next_attempt_at"])
    record("job.cancel", job, by=by, before={"state": job.state})
    if job.state == JobState.QUEUED:
        settling.close(job.pk, Outcome(JobState.CANCELLED))
        job.refresh_from_db()
    else:
        tasks.attend.delay_on_commit(str(job.pk))
    live.publish("jobs", [job.pk])
    live.publish(f"job:{job.pk}")


def remove_demo() -> int:
    """Remove the demonstration's jobs with their folders and outputs; those that run are cancelled first.

    Returns how many are gone. One that still ends is not: it goes with the next call.
    """
    jobs = Job.objects.filter(is_demo=True)
    for job in jobs.exclude(state__in=ENDED):
        _cancel_for_the_console(job)
    n_gone = 0
    for job in jobs.filter(state__in=ENDED):
        for folder in (job.folder.path, job.output_dir):
            if folder.exists():
                shutil.rmtree(folder)
        job.delete()
        n_gone += 1
    if n_gone:
        live.publish("jobs")
    return n_gone


@transaction.atomic
def _cancel_for_the_console(job: Job) -> None:
    job = Job.objects.select_for_update(of=("self",)).get(pk=job.pk)
    if job.cancel_asked_at is None and not job.has_ended:
        _ask_to_end(job, by=None)


def _checked(app: str, params: dict[str, Any], by: User) -> dict[str, Any]:
    try:
        application = applications.find(app)
    except NotFound as error:
        raise _invalid("app", error.message) from error
    if len(json.dumps(params)) > LARGEST_PARAMS_BYTES:
        raise _invalid("params", _("These are more than %(n)d KiB.") % {"n": LARGEST_PARAMS_BYTES // 1024})
    for scope in application.scopes:
        policy.check(by, scope, app)
    checked = applications.check(application, params)
    for supply in supplies.of(application).values():
        supply.check(checked, by)
    return checked


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=[{"field": field, "message": message}])
