"""The worker's half of backfills: what somebody asked for, delivered to Airflow once."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.audit import actions as audit
from core.lib import outbox
from core.lib.aside import Unread
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable
from pipelines import backfill_mirror
from pipelines.airflow_auth import WATCHER
from pipelines.backfill_answers import Backfill as Found
from pipelines.backfill_answers import WantedBackfill
from pipelines.backfill_models import Backfill, BackfillState, BackfillWish
from pipelines.tasks import airflow_for

if TYPE_CHECKING:
    from pipelines.gateway import AirflowGateway

log = structlog.get_logger(__name__)


@shared_task
def deliver_backfill(backfill_id: str) -> None:
    """Do what is wished for the backfill: start, pause, unpause or cancel it."""
    row = outbox.claim(Backfill, backfill_id)
    if row is None:
        return
    if row.wish == BackfillWish.NOTHING:  # done meanwhile by a worker whose message came twice
        Backfill.objects.filter(pk=row.pk, wish=BackfillWish.NOTHING).update(next_attempt_at=None)
        return
    by = row.wished_by if row.wish != BackfillWish.START else row.requested_by
    airflow = airflow_for(by.get_username() if by else WATCHER)
    try:
        DELIVERIES[BackfillWish(row.wish)](airflow, row)
    except (Unavailable, Unauthorized) as error:
        log.warning("backfill.not_delivered", backfill=row.pk, error=error.message)
        row.mark_retry(error.message)
        backfill_mirror.publish([row.pk])


def wanted(row: Backfill) -> WantedBackfill:
    """What the row asks for."""
    return WantedBackfill(
        dag_id=row.dag_id,
        from_date=row.from_date,
        to_date=row.to_date,
        run_backwards=bool(row.run_backwards),
        conf=row.conf,
        reprocess_behavior=row.reprocess_behavior,
        max_active_runs=row.max_active_runs,
        run_on_latest_version=row.run_on_latest_version,
    )


def start(airflow: "AirflowGateway", row: Backfill) -> None:
    """Airflow gives the id: after an answer that never came ours is looked for before it is asked again."""
    is_again = row.delivery_attempts > 1
    there = airflow.backfills(row.dag_id)
    found = _ours(row, there) if is_again else None
    try:
        if found is None:
            if refusal := _refusal(airflow, row, there):
                _settle(row, "backfill.refused", state=BackfillState.REFUSED, delivery_error=refusal)
                return
            found = airflow.create_backfill(wanted(row))
    except (Conflict, InvalidRequest, NotFound) as error:
        # Of ours, sent before, Airflow may have heard only now.
        found = _ours(row, airflow.backfills(row.dag_id)) if is_again else None
        if found is None:
            _settle(row, "backfill.refused", state=BackfillState.REFUSED, delivery_error=error.message)
            return
    # Whatever somebody has wished meanwhile: that too is asked of this one.
    Backfill.objects.filter(pk=row.pk).update(airflow_id=found.airflow_id, started_at=found.started_at)
    _settle(row, "backfill.started", airflow_id=found.airflow_id, **_seen(row, found))


def _refusal(airflow: "AirflowGateway", row: Backfill, there: list[Found | Unread]) -> str:
    """Why Airflow is not even asked; empty when it is. Notes how many runs it would make."""
    if any(isinstance(one, Found) and one.completed_at is None for one in there):
        return _(
            "Airflow has a backfill of this pipeline under way, and takes one at a time. Wait for its end."
        )
    n_dates, most = len(airflow.backfill_dates(wanted(row))), settings.CONSOLE_BACKFILL_MOST_RUNS
    Backfill.objects.filter(pk=row.pk).update(n_wanted=n_dates)
    if n_dates > most:
        return too_many(n_dates, most)
    return "" if n_dates else nothing_to_run()


def too_many(n_dates: int, most: int) -> str:
    """n_dates: or more."""
    words = _("This would make %(n)d runs; one backfill may make %(most)d at most. Take fewer dates.")
    return words % {"n": n_dates, "most": most}


def nothing_to_run() -> str:
    """What to tell who asks for dates that all have their runs."""
    return _("No date in this time would run: the schedule has none, or each has a run that is to stay.")


def _ours(row: Backfill, there: list[Found | Unread]) -> Found | None:
    """The one that an earlier try of ours made; one that another row stands for is not it."""
    same = [one for one in there if isinstance(one, Found) and backfill_mirror.is_same(row, one)]
    others = Backfill.objects.filter(airflow_id__in=[one.airflow_id for one in same]).exclude(pk=row.pk)
    taken = set(others.values_list("airflow_id", flat=True))
    return next((one for one in same if one.airflow_id not in taken), None)


def _seen(row: Backfill, found: Found) -> dict[str, Any]:
    return {
        "state": backfill_mirror.seen_state(row, found),
        "started_at": found.started_at,
        "completed_at": found.completed_at,
    }


def pause(airflow: "AirflowGateway", row: Backfill) -> None:
    """Doing it twice does no harm, as with going on."""
    _switch(row, airflow.pause_backfill, "backfill.paused", "backfill.not_paused")


def unpause(airflow: "AirflowGateway", row: Backfill) -> None:
    _switch(row, airflow.unpause_backfill, "backfill.unpaused", "backfill.not_unpaused")


def _switch(row: Backfill, call: Callable[[int], Found], done: str, refused: str) -> None:
    try:
        found = call(row.airflow_id or 0)
    except (NotFound, Conflict, InvalidRequest) as error:
        _settle(row, refused, delivery_error=error.message)
        return
    _settle(row, done, **_seen(row, found))


def cancel(airflow: "AirflowGateway", row: Backfill) -> None:
    """One that never arrived is cancelled; one that was over keeps its state."""
    airflow_id = row.airflow_id
    if airflow_id is None:
        found = _ours(row, airflow.backfills(row.dag_id))
        airflow_id = found.airflow_id if found else None
    if airflow_id is None:
        _settle(row, "backfill.cancelled", state=BackfillState.CANCELLED, cancelled_at=timezone.now())
        return
    Backfill.objects.filter(pk=row.pk).update(airflow_id=airflow_id)
    try:
        found = airflow.cancel_backfill(airflow_id)
    except NotFound:
        _settle(row, "backfill.not_cancelled", state=BackfillState.LOST)
    except (Conflict, InvalidRequest) as error:
        # It is over. Cancelling pauses first: one that was not paused before was ended by our earlier try.
        there = airflow.backfill(airflow_id)
        done: dict[str, Any] = {"started_at": there.started_at, "completed_at": there.completed_at}
        was_by_us = there.is_paused and row.delivery_attempts > 1 and row.state != BackfillState.PAUSED
        if was_by_us:
            done["cancelled_at"] = row.cancelled_at or there.completed_at
            _settle(row, "backfill.cancelled", state=BackfillState.CANCELLED, **done)
        else:
            done |= {"cancelled_at": None, "delivery_error": error.message}
            _settle(row, "backfill.not_cancelled", state=BackfillState.COMPLETED, **done)
    else:
        _settle(
            row,
            "backfill.cancelled",
            state=BackfillState.CANCELLED,
            cancelled_at=row.cancelled_at or timezone.now(),
            started_at=found.started_at,
            completed_at=found.completed_at,
        )


DELIVERIES: dict[BackfillWish, Callable[["AirflowGateway", Backfill], None]] = {
    BackfillWish.START: start,
    BackfillWish.PAUSE: pause,
    BackfillWish.UNPAUSE: unpause,
    BackfillWish.CANCEL: cancel,
}


@transaction.atomic
def _settle(row: Backfill, action: str, **values: Any) -> None:
    """Write the outcome, unless somebody changed their mind meanwhile: then the new wish is due at once."""
    done = {"wish": BackfillWish.NOTHING, "next_attempt_at": None, "delivery_error": "", **values}
    if not Backfill.objects.filter(pk=row.pk, wish=row.wish).update(**done):
        rest = Backfill.objects.filter(pk=row.pk).exclude(wish=BackfillWish.NOTHING)
        rest.update(next_attempt_at=timezone.now())
        deliver_backfill.delay_on_commit(str(row.pk))
    by = row.requested_by if row.wish == BackfillWish.START else row.wished_by
    after = {"state": str(values.get("state", row.state)), "words": values.get("delivery_error", "")}
    upstream_id = str(values.get("airflow_id") or row.airflow_id or "")
    audit.record(action, row, by=by, before={"state": row.state}, after=after, upstream_id=upstream_id)
    backfill_mirror.publish([row.pk])
