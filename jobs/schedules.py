"""Jobs that come again by themselves: asked for, paused, deleted, and submitted when their time has come."""

from typing import Any

import structlog
from celery import shared_task
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit.actions import record
from core.lib import live
from core.lib.errors import Conflict, ConsoleError
from jobs import actions, cron, loops
from jobs.models import Job, JobSchedule

log = structlog.get_logger(__name__)

MOST = 100


@transaction.atomic
def create(app: str, *, cron_text: str, by: User, **wanted: Any) -> JobSchedule:
    """Submit a job whenever the cron text says so, from the next time on. wanted: as `actions.submit_job`.

    Raises what that would raise now, and InvalidRequest for what is no cron text.
    """
    policy.check(by, actions.SCOPE, app)
    next_at = cron.next_after(cron_text, timezone.now())
    if JobSchedule.objects.count() >= MOST:
        raise Conflict(_("There are %(n)d schedules already: delete one first.") % {"n": MOST})
    params = actions.checked(app, by=by, **wanted)
    schedule = JobSchedule.objects.create(
        app=app,
        params=params,
        target=wanted["target"],
        retries=wanted["retries"],
        cron=" ".join(cron_text.split()),
        requested_by=by,
        next_at=next_at,
    )
    record("job.schedule", schedule, by=by, after={"app": app, "params": params, "cron": schedule.cron})
    live.publish("jobs")
    return schedule


@transaction.atomic
def set_paused(schedule: JobSchedule, *, is_paused: bool, by: User) -> JobSchedule:
    """Pause it, or go on from the next time."""
    policy.check(by, actions.SCOPE, schedule.app)
    schedule = JobSchedule.objects.select_for_update(of=("self",)).get(pk=schedule.pk)
    if schedule.is_paused != is_paused:
        schedule.is_paused, schedule.last_error = is_paused, ""
        schedule.next_at = cron.next_after(schedule.cron, timezone.now())
        schedule.save()
        record("job.schedule_pause" if is_paused else "job.schedule_resume", schedule, by=by)
        live.publish("jobs")
    return schedule


@transaction.atomic
def delete(schedule: JobSchedule, *, by: User) -> None:
    """Its jobs stay."""
    policy.check(by, actions.SCOPE, schedule.app)
    record("job.schedule_delete", schedule, by=by, before={"app": schedule.app, "cron": schedule.cron})
    schedule.delete()
    live.publish("jobs")


@shared_task(expires=10)
def run_due() -> None:
    """Submit the jobs of all schedules whose time has come: one each, however often that was missed."""
    due = JobSchedule.objects.filter(is_paused=False, next_at__lte=timezone.now())
    loops.SCHEDULES.each(list(due.values_list("pk", flat=True)), _run, key=str, about=str)


@transaction.atomic
def _run(pk: int) -> None:
    now = timezone.now()
    found = JobSchedule.objects.select_for_update(skip_locked=True, of=("self",))
    schedule = found.filter(pk=pk, is_paused=False, next_at__lte=now).first()
    if schedule is None:
        return
    schedule.next_at = cron.next_after(schedule.cron, now)
    schedule.last_error = ""
    try:
        with transaction.atomic():
            _require_ended(schedule.last_job)
            schedule.last_job = _submitted(schedule)
    except (ConsoleError, policy.Denied) as error:
        schedule.last_error = error.message
        schedule.is_paused = isinstance(
            error, policy.Denied
        )  # until somebody looks: it would be denied again
        log.warning("job.schedule_failed", schedule=pk, error=error.message)
    schedule.save()
    live.publish("jobs")


def _require_ended(last: Job | None) -> None:
    """Raises Conflict: jobs longer than their interval would pile up, and fill the queue for everybody."""
    if last is not None and not last.has_ended:
        raise Conflict(_("Left out: its job before, %(id)s, has not ended.") % {"id": last.pk})


def _submitted(schedule: JobSchedule) -> Any:
    by = schedule.requested_by
    if by is None:
        raise policy.Denied(_("Who asked for this schedule is no user any more."))
    return actions.submit_job(
        schedule.app, params=schedule.params, by=by, target=schedule.target, retries=schedule.retries
    )
