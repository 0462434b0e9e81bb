"""The click's half: submit and cancel jobs."""

import hashlib
import json
import shutil
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit.actions import record
from core.lib import live
from core.lib.errors import Conflict, InvalidRequest, NotFound
from core.lib.made_once import made_once
from jobs import applications, gateway, settling, supplies, tasks
from jobs.models import ENDED, Job, JobSchedule, JobState
from jobs.outcomes import Outcome

SCOPE = "jobs.run"
MOST_QUEUED = 100
MOST_RETRIES = 5
LARGEST_PARAMS_BYTES = 64 * 1024


@transaction.atomic
def submit_job(
    app: str,
    *,
    params: dict[str, Any],
    by: User,
    target: str = gateway.DEFAULT,
    retries: int = 0,
    key: str = "",
    call_sha256: str = "",
) -> Job:
    """Queue an application with these parameters; it starts as soon as its target has a place.

    retries: how often it is tried again after a failure that is not the parameters' fault. key, call_sha256:
    of the call, or empty; `submit_once` looks for what an earlier one made.

    Raises InvalidRequest for an unknown application and for parameters that it does not take, Denied when it
    needs more rights than the user has.
    """
    policy.check(by, SCOPE, app)
    values = checked(app, params=params, by=by, target=target, retries=retries)
    if Job.objects.filter(state=JobState.QUEUED).count() >= MOST_QUEUED:
        raise Conflict(_("%(n)d jobs wait already: submit it later.") % {"n": MOST_QUEUED})
    is_streaming = applications.find(app).is_streaming
    if is_streaming:
        _refuse_second(app, values["name"])
    job = Job.objects.create(
        app=app,
        params=values,
        requested_by=by,
        is_demo=by.is_demo,
        is_streaming=is_streaming,
        target=target,
        retries=retries,
        retries_left=retries,
        idempotency_key=key,
        call_sha256=call_sha256,
    )
    wanted = {"app": app, "params": values, "target": target, "retries": retries}
    record("job.submit", job, by=by, after=wanted)
    tasks.attend.delay_on_commit(str(job.pk))
    live.publish("jobs", [job.pk])
    return job


def submit_once(app: str, key: str, *, by: User, **wanted: Any) -> tuple[Job, bool]:
    """`submit_job`, or the job that the same call with this `Idempotency-Key` made; and whether it is new.

    Calls are compared as they were given: whether the input is still there, or would still be taken, says
    nothing about a job that was made.

    wanted: as `submit_job`. Raises what that raises, and InvalidRequest for a key of another call.
    """
    call = json.dumps({"app": app, **wanted}, sort_keys=True)
    call_sha256 = hashlib.sha256(call.encode()).hexdigest()

    def is_same(job: Job) -> bool:
        return job.call_sha256 == call_sha256

    submit = partial(submit_job, app, by=by, key=key, call_sha256=call_sha256, **wanted)
    return made_once(Job.objects.filter(requested_by=by), key, submit, is_same=is_same)


def restart_job(job: Job, *, by: User) -> Job:
    """Submit a streaming job again as it was: it goes on from its checkpoint.

    Raises Conflict while it runs, and for a job that is no streaming one.
    """
    policy.check(by, SCOPE, job.app)
    if not job.is_streaming:
        raise Conflict(_("Only a streaming job goes on from a checkpoint: run this one again instead."))
    if not job.has_ended:
        raise Conflict(_("The job has not ended."))
    return submit_job(job.app, params=job.params, by=by, target=job.target, retries=job.retries)


def _refuse_second(app: str, name: str) -> None:
    """Two jobs on one checkpoint would spoil it; their drivers look once more."""
    other = Job.objects.filter(app=app, params__name=name).exclude(state__in=ENDED).first()
    if other is not None:
        message = _("The job %(id)s works with the checkpoint “%(name)s”.")
        raise Conflict(message % {"id": other.pk, "name": name})


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
        for folder in (*job.folders, job.output_dir):
            if folder.exists():
                shutil.rmtree(folder)
        job.delete()
        n_gone += 1
    JobSchedule.objects.filter(requested_by__is_demo=True).delete()
    if n_gone:
        live.publish("jobs")
    return n_gone


@transaction.atomic
def _cancel_for_the_console(job: Job) -> None:
    job = Job.objects.select_for_update(of=("self",)).get(pk=job.pk)
    if job.cancel_asked_at is None and not job.has_ended:
        _ask_to_end(job, by=None)


def checked(app: str, *, params: dict[str, Any], by: User, target: str, retries: int) -> dict[str, Any]:
    """The parameters to run with, once all is as it may be. Raises as `submit_job`."""
    gateway.target(target)
    if not 0 <= retries <= MOST_RETRIES:
        raise _invalid("retries", _("Write a number from 0 to %(n)d.") % {"n": MOST_RETRIES})
    try:
        application = applications.find(app)
    except NotFound as error:
        raise _invalid("app", error.message) from error
    if len(json.dumps(params)) > LARGEST_PARAMS_BYTES:
        raise _invalid("params", _("These are more than %(n)d KiB.") % {"n": LARGEST_PARAMS_BYTES // 1024})
    for scope in application.scopes:
        policy.check(by, scope, app)
    values = applications.check(application, params)
    for supply in supplies.of(application).values():
        supply.check(values, by)
    return values


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, errors=[{"field": field, "message": message}])
