"""The click's half of backfills: what would run, and what somebody wants; a worker takes it to Airflow."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import json_bodies
from core.lib.errors import Conflict, ConsoleError, InvalidRequest
from pipelines import actions, backfill_mirror, backfill_queries, backfill_tasks, coming, params, queries
from pipelines.backfill_answers import WantedBackfill
from pipelines.backfill_models import MOST_AT_ONCE, OPEN, Backfill, BackfillState, BackfillWish, Reprocess
from pipelines.models import LONGEST_NOTE, Pipeline, Run
from pipelines.tasks import airflow_for

MOST_SHOWN = 100
LONGEST_UNCOUNTED = timedelta(days=366)  # where nobody but Airflow can count the dates
AHEAD = timedelta(minutes=1)  # of our clock, by which a browser's may be
FURTHEST_ZONE = timedelta(hours=14)  # from UTC, to the east


@dataclass(frozen=True)
class Date:
    """A logical date that would run; run: the one that it has already, which would run again.

    partition_key: of a partitioned pipeline, of which `at` is the date of the partition. A new run would be
    made beside `run` then.
    """

    at: datetime
    run: Run | None
    partition_key: str = ""


@dataclass(frozen=True)
class Preview:
    """What would run, in its order. n_kept: runs for these dates that would stay as they are.

    trouble: why nobody can tell now; one may ask all the same. limit: of runs in one backfill.
    """

    dates: list[datetime] = field(default_factory=list)
    shown: list[Date] = field(default_factory=list)
    n_kept: int = 0
    trouble: str = ""
    limit: int = 0

    @property
    def n_more(self) -> int:
        """How many are not shown."""
        return len(self.dates) - len(self.shown)

    @property
    def refusal(self) -> str:
        """Why it cannot be started so; empty when it can."""
        if self.trouble:
            return ""
        if not self.dates:
            return backfill_tasks.nothing_to_run()
        is_too_many = len(self.dates) > self.limit
        return backfill_tasks.too_many(len(self.dates), self.limit) if is_too_many else ""


def preview(wanted: WantedBackfill, *, by: User) -> Preview:
    """What Airflow says would run, asked now. Raises as `start` does, and what the gateway raises."""
    policy.check(by, "pipelines.run", wanted.dag_id)
    pipeline = queries.pipeline(wanted.dag_id)
    _refuse(pipeline, wanted, "")
    found = airflow_for(by.get_username()).backfill_dates(wanted)
    dates = [one.at for one in found]
    limit = settings.CONSOLE_BACKFILL_MOST_RUNS
    runs = backfill_queries.runs_at(pipeline, dates[:MOST_SHOWN])
    shown = [Date(one.at, runs.get(one.at), one.partition_key) for one in found[:MOST_SHOWN]]
    if len(dates) > limit:  # it is refused: nobody needs to know what else there is
        return Preview(dates, shown, limit=limit)
    n_kept = backfill_queries.n_kept(pipeline, wanted.from_date, wanted.to_date, but=dates)
    return Preview(dates, shown, n_kept=n_kept, limit=limit)


def preview_for_page(wanted: WantedBackfill, *, by: User) -> Preview:
    """The same; what is in the way of it becomes its words. Raises InvalidRequest, for the form's fields."""
    try:
        return preview(wanted, by=by)
    except InvalidRequest:
        raise
    except ConsoleError as error:
        return Preview(trouble=error.message)


@transaction.atomic
def start(wanted: WantedBackfill, *, reason: str = "", by: User) -> Backfill:
    """Record that somebody wants a pipeline's past dates run. The runs of a paused pipeline wait queued.

    Raises NotFound for an unknown pipeline, Conflict for one that Airflow no longer has or whose last
    backfill still goes on, InvalidRequest with the faults by field.
    """
    policy.check(by, "pipelines.run", wanted.dag_id)
    _refuse(queries.pipeline(wanted.dag_id), wanted, reason)
    # Two who click at once: the second waits for the first, and then sees its row.
    Pipeline.objects.select_for_update().get(pk=wanted.dag_id)
    # One whose end Airflow has not heard of counts too: a late cancel could end an equal one after it.
    unsettled = Q(state__in=OPEN) | ~Q(wish=BackfillWish.NOTHING)
    other = Backfill.objects.filter(unsettled, dag_id=wanted.dag_id).first()
    if other is not None:
        message = _("Backfill %(id)s of this pipeline is not over. Airflow takes one at a time of each.")
        raise Conflict(message % {"id": other.pk})
    row = Backfill.objects.create(
        dag_id=wanted.dag_id,
        from_date=wanted.from_date,
        to_date=wanted.to_date,
        run_backwards=wanted.run_backwards,
        conf=wanted.conf or {},
        reprocess_behavior=wanted.reprocess_behavior,
        max_active_runs=wanted.max_active_runs,
        run_on_latest_version=wanted.run_on_latest_version,
        reason=reason,
        requested_by=by,
    )
    after = {**wanted.as_json(), "reason": reason}
    after |= {"from_date": wanted.from_date.isoformat(), "to_date": wanted.to_date.isoformat()}
    audit.record("backfill.start", row, by=by, after=after)
    _send(row)
    return row


def _refuse(pipeline: Pipeline, wanted: WantedBackfill, reason: str) -> None:
    actions.refuse_unusable(pipeline, "backfill")
    if not pipeline.is_backfillable:
        raise InvalidRequest(no_dates(pipeline))
    faults = [*_faults_of_times(pipeline, wanted), *_faults_of_rest(pipeline, wanted, reason)]
    faults = faults or _faults_of_number(pipeline, wanted)
    if faults:
        message = _("This backfill of “%(dag_id)s” cannot be started.") % {"dag_id": pipeline.dag_id}
        raise InvalidRequest(message, errors=[{"field": name, "message": words} for name, words in faults])


def no_dates(pipeline: Pipeline) -> str:
    """Why a pipeline has nothing to run again by date."""
    message = _(
        "“%(dag_id)s” has no schedule with past dates, so there is nothing to backfill. Run it instead."
    )
    return message % {"dag_id": pipeline.dag_id}


def _faults_of_times(pipeline: Pipeline, wanted: WantedBackfill) -> list[tuple[str, str]]:
    """The last date may be ahead, for Airflow leaves out what has not come yet.

    Of a partitioned pipeline it does not: runs for partitions to come would stay queued until their date, and
    no other backfill could begin before.
    """
    now = _now_there(pipeline) if pipeline.is_partitioned else timezone.now() + AHEAD
    lies_ahead = _("This lies in the future: only dates that are past can be run.")
    if wanted.from_date > now:
        return [("from_date", lies_ahead)]
    if wanted.from_date > wanted.to_date:
        return [("to_date", _("This is before the first date. Swap the two."))]
    if pipeline.is_partitioned and wanted.to_date > now:
        return [("to_date", lies_ahead)]
    if wanted.to_date > now + LONGEST_UNCOUNTED:
        words = _("This is too far ahead. Take %(days)d days from today at most.")
        return [("to_date", words % {"days": LONGEST_UNCOUNTED.days})]
    return []


def _now_there(pipeline: Pipeline) -> datetime:
    """What clocks show where a partitioned pipeline's dates are read, labelled as UTC, as those are.

    Where the zone is not told, what they show farthest in the east.
    """
    now = timezone.now()
    if not pipeline.schedule_zone:
        return now + FURTHEST_ZONE
    return now.astimezone(ZoneInfo(pipeline.schedule_zone)).replace(tzinfo=UTC) + AHEAD


def _faults_of_rest(pipeline: Pipeline, wanted: WantedBackfill, reason: str) -> list[tuple[str, str]]:
    conf = wanted.conf or {}
    faults = []
    if wanted.reprocess_behavior not in Reprocess.values:
        choices = {"choices": ", ".join(Reprocess.values)}
        faults.append(("reprocess_behavior", _("Give one of these: %(choices)s.") % choices))
    if not 1 <= wanted.max_active_runs <= MOST_AT_ONCE:
        bounds = {"least": 1, "most": MOST_AT_ONCE}
        words = _("Write a whole number from %(least)d to %(most)d.") % bounds
        faults.append(("max_active_runs", words))
    if len(reason) > LONGEST_NOTE or json_bodies.fault(reason):
        faults.append(("reason", _("A reason may have 1000 characters at most, and no NUL.")))
    unstorable = actions.unstorable(conf)
    if unstorable:
        faults.append(("conf", unstorable))
    elif conf:
        faults += [(one["field"], one["message"]) for one in params.faults(pipeline.params, conf)]
    return faults


def _faults_of_number(pipeline: Pipeline, wanted: WantedBackfill) -> list[tuple[str, str]]:
    """Told before Airflow is asked: it would work on the list of a hundred thousand dates for minutes."""
    most = settings.CONSOLE_BACKFILL_MOST_RUNS
    zone = pipeline.timezone or "UTC"
    # One more: the schedule's own count of what lies between two times may be one less.
    last = wanted.to_date if pipeline.is_partitioned else min(wanted.to_date, timezone.now() + AHEAD)
    n = coming.n_between(pipeline.schedule, wanted.from_date, last, zone, most=most + 1)
    if n is None:
        if last - wanted.from_date <= LONGEST_UNCOUNTED:
            return []
        words = _("Only Airflow can count the dates of this schedule. Take %(days)d days at most.")
        return [("from_date", words % {"days": LONGEST_UNCOUNTED.days})]
    return [("from_date", backfill_tasks.too_many(n, most))] if n > most + 1 else []


@transaction.atomic
def pause(backfill_id: int, *, by: User) -> Backfill:
    """Begin no more of its runs; those that run go on. Raises NotFound, Conflict."""
    row = _locked(backfill_id, by)
    if row.wish == BackfillWish.PAUSE or (row.state == BackfillState.PAUSED and not row.wish):
        return row
    if not row.can_pause:
        raise Conflict(already(row))
    return _wish(row, BackfillWish.PAUSE, by=by)


@transaction.atomic
def unpause(backfill_id: int, *, by: User) -> Backfill:
    """Go on with its runs. Raises NotFound, Conflict."""
    row = _locked(backfill_id, by)
    if row.wish == BackfillWish.UNPAUSE or (row.state == BackfillState.RUNNING and not row.wish):
        return row
    if not row.can_unpause:
        raise Conflict(already(row))
    return _wish(row, BackfillWish.UNPAUSE, by=by)


@transaction.atomic
def cancel(backfill_id: int, *, by: User) -> Backfill:
    """End it: queued runs fail, those that run go on. One that was never sent is cancelled at once.

    Raises NotFound, Conflict for one that is over.
    """
    row = _locked(backfill_id, by)
    if row.wish == BackfillWish.CANCEL:
        return row
    if row.is_over:
        raise Conflict(already(row))
    if row.state != BackfillState.REQUESTED:
        return _wish(row, BackfillWish.CANCEL, by=by)
    # It may have reached Airflow if a worker tried: then that is asked too, once that worker is done.
    was_tried = row.delivery_attempts > 0
    row.state, row.cancelled_at = BackfillState.CANCELLED, timezone.now()
    row.wish = BackfillWish.CANCEL if was_tried else BackfillWish.NOTHING
    row.next_attempt_at = row.next_attempt_at if was_tried else None
    row.wished_by, row.delivery_error = by, ""
    row.save()
    audit.record("backfill.cancel", row, by=by, before={"state": "requested"}, after={"state": row.state})
    _send(row)
    return row


def _locked(backfill_id: int, by: User) -> Backfill:
    policy.check(by, "pipelines.run", backfill_id)
    row = Backfill.objects.select_for_update().filter(pk=backfill_id).first()
    return row or backfill_queries.missing(backfill_id)


def already(row: Backfill) -> str:
    """Why this cannot be asked of it now."""
    if row.wish != BackfillWish.NOTHING:
        words = {"wish": row.get_wish_display()}
        return _("This backfill waits for Airflow to confirm “%(wish)s” first.") % words
    return _("This backfill is “%(state)s”; that cannot be done now.") % {"state": row.get_state_display()}


def _wish(row: Backfill, wish: BackfillWish, *, by: User) -> Backfill:
    row.wish, row.wished_by = wish, by
    row.next_attempt_at, row.delivery_attempts, row.delivery_error = timezone.now(), 0, ""
    row.save()
    before, upstream_id = {"state": row.state}, str(row.airflow_id or "")
    audit.record(f"backfill.{wish.value}", row, by=by, before=before, upstream_id=upstream_id)
    _send(row)
    return row


def _send(row: Backfill) -> None:
    if row.wish != BackfillWish.NOTHING:
        backfill_tasks.deliver_backfill.delay_on_commit(str(row.pk))
    backfill_mirror.publish([row.pk])
