"""Airflow's backfills into rows, and which runs are whose: its API names no backfill with a run."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from core.lib import live
from core.lib.aside import Unread
from pipelines import loops
from pipelines.backfill_answers import Backfill as Found
from pipelines.backfill_models import UNDER_WAY, Backfill, BackfillState, BackfillWish
from pipelines.mirror import changed_fields
from pipelines.models import Pipeline, Run

RUN_TYPE = "backfill"
IN_TURN = 1  # pipelines that are looked at though nothing says that they have a new one
LOOKED_FOR = timedelta(hours=1)  # the backfill that a run belongs to
LISTED_AFTER = timedelta(minutes=1)
LATE = timedelta(minutes=10)  # after its end, for runs that are mirrored after it
CLOCKS_APART = timedelta(minutes=3)  # Airflow's and ours, at most


def to_look_at() -> list[str]:
    """Pipelines with a backfill under way, or with runs of an unknown one; of the rest one in turn.

    So an idle Airflow costs one request, however many pipelines it has.
    """
    on_its_way = Q(state__in=UNDER_WAY) | Q(next_attempt_at__isnull=False, delivery_attempts__gt=0)
    known = Backfill.objects.filter(on_its_way).values_list("dag_id", flat=True)
    lately = timezone.now() - LOOKED_FOR
    strays = Run.objects.filter(run_type=RUN_TYPE, backfill=None, queued_at__gt=lately)
    here = Pipeline.objects.filter(gone_at=None, is_backfillable=True)
    in_turn = here.order_by("backfills_at").values_list("pk", flat=True)  # never looked at comes last
    never = here.filter(backfills_at=None).values_list("pk", flat=True)
    turns = [*never[:IN_TURN], *in_turn[:IN_TURN]][:IN_TURN]
    return sorted({*known, *strays.values_list("dag_id", flat=True), *turns})


def save(dag_id: str, found: Sequence[Found | Unread]) -> None:
    """Add and change those of one pipeline, newest first; then its runs learn which they belong to."""
    Pipeline.objects.filter(pk=dag_id).update(backfills_at=timezone.now())
    touched = loops.BACKFILLS.save(found, _save, key=attrgetter("key"), about=attrgetter("dag_id"))
    rows = list(Backfill.objects.filter(dag_id=dag_id, state__in=UNDER_WAY))
    _lose(rows, found)
    late = Backfill.objects.filter(dag_id=dag_id, completed_at__gt=timezone.now() - LATE)
    changed = [row.pk for row in {row.pk: row for row in [*rows, *late, *touched]}.values() if _claim(row)]
    publish({row.pk for row in touched} | set(changed))


def _save(found: Sequence[Found]) -> list[Backfill]:
    """Those that are new or changed."""
    by_id = {one.airflow_id: one for one in found}
    known = {row.airflow_id: row for row in Backfill.objects.filter(airflow_id__in=by_id)}
    touched = []
    for one in by_id.values():
        row = known.get(one.airflow_id) or _adopted(one)
        if row is None:
            touched.append(_added(one))
        elif _update(row, one):
            row.refresh_from_db()
            touched.append(row)
    return touched


def _adopted(found: Found) -> Backfill | None:
    """Ours, of which the worker that asked for it has had no answer yet."""
    waiting = Backfill.objects.filter(dag_id=found.dag_id, airflow_id=None, delivery_attempts__gt=0)
    for row in waiting.filter(next_attempt_at__isnull=False).order_by("created_at"):
        if is_same(row, found):
            Backfill.objects.filter(pk=row.pk, airflow_id=None).update(airflow_id=found.airflow_id)
            row.airflow_id = found.airflow_id
            return row
    return None


def is_same(row: Backfill, found: Found) -> bool:
    """Whether Airflow's carries what the row asked for, and is not one of before that asked for the same."""
    return (
        found.started_at >= row.created_at - CLOCKS_APART
        and (row.dag_id, row.from_date, row.to_date) == (found.dag_id, found.from_date, found.to_date)
        and (row.conf, row.reprocess_behavior) == (found.conf, found.reprocess_behavior)
        and row.max_active_runs == found.max_active_runs
    )


def _added(found: Found) -> Backfill:
    row = Backfill(dag_id=found.dag_id, airflow_id=found.airflow_id, wish=BackfillWish.NOTHING)
    for name, value in {**_mirrored(found), "created_at": found.started_at, "next_attempt_at": None}.items():
        setattr(row, name, value)
    row.from_date, row.to_date, row.conf = found.from_date, found.to_date, found.conf
    row.reprocess_behavior, row.max_active_runs = found.reprocess_behavior, found.max_active_runs
    row.state = seen_state(row, found)
    row.save(force_insert=True)
    return row


def _update(row: Backfill, found: Found) -> bool:
    changes = changed_fields(row, {**_mirrored(found), "state": seen_state(row, found)})
    # Only while nobody changed the row since we read it: the next poll sees it again otherwise.
    same = Backfill.objects.filter(pk=row.pk, state=row.state, wish=row.wish)
    # There the worker writes the state, with its line in the audit trail.
    if row.state == BackfillState.REQUESTED or row.wish == BackfillWish.CANCEL:
        changes.pop("state", None)
    return bool(changes) and bool(same.update(**changes))


def _mirrored(found: Found) -> dict[str, Any]:
    return {"started_at": found.started_at, "completed_at": found.completed_at}


def seen_state(row: Backfill, found: Found) -> str:
    """What the row shows of Airflow's two facts: whether it is paused, and whether it is over."""
    if row.state == BackfillState.CANCELLED and row.wish == BackfillWish.CANCEL:
        return BackfillState.CANCELLED
    if found.completed_at is not None:
        # That it is paused says nothing: its last runs may have ended after somebody paused it.
        return BackfillState.CANCELLED if row.cancelled_at is not None else BackfillState.COMPLETED
    return BackfillState.PAUSED if found.is_paused else BackfillState.RUNNING


def _lose(rows: Iterable[Backfill], found: Sequence[Found | Unread]) -> None:
    """Those that Airflow has deleted. What is younger than the list may be missing in it."""
    listed = {one.key for one in found}
    before = timezone.now() - LISTED_AFTER
    gone = [row for row in rows if row.key not in listed and row.started_at and row.started_at < before]
    for row in gone:
        same = Backfill.objects.filter(pk=row.pk, state=row.state, wish=BackfillWish.NOTHING)
        same.update(state=BackfillState.LOST)
    publish(row.pk for row in gone)


def _claim(row: Backfill) -> int:
    """Runs queued while it was under way, for its dates, are its own: a pipeline has one at a time.

    Those for partitions have no logical date, and Airflow reads the dates in the zone of their schedule.
    """
    if row.started_at is None:
        return 0
    runs = Run.objects.filter(dag_id=row.dag_id, run_type=RUN_TYPE, queued_at__gte=row.started_at)
    runs = runs.filter(Q(logical_date__range=(row.from_date, row.to_date)) | Q(logical_date=None))
    if row.completed_at is not None:
        runs = runs.filter(queued_at__lte=row.completed_at)
    return runs.filter(Q(backfill=None) | ~Q(backfill=row)).update(backfill=row)


def publish(ids: Iterable[int]) -> None:
    """Tell the pages that show them."""
    changed = sorted(set(ids))
    if changed:
        with transaction.atomic():
            live.publish("backfills", changed)
