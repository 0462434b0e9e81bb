"""Lists of runs: how they are narrowed and ordered."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan
from django.utils import timezone

from core.access.models import User
from core.lib import edge
from core.lib.pages import Order
from pipelines.models import TOOK, Pipeline, Run, RunState
from pipelines.states import BY_DATE
from pipelines.states import TYPES as TYPES
from pipelines.verdicts import SKEW

ORDERS: Final = {"created": "created_at", "duration": "took", "logical": "logical_date"}
NEWEST_FIRST: Final = "-created"

_of_date, _of_partition = Q(run_type__in=BY_DATE), ~Q(partition_key="")
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_gone = Pipeline.objects.filter(pk=OuterRef("dag_id"), gone_at__isnull=False)


def made_good(failed_at: datetime | None = None) -> Q:
    """Failed runs that a success which ended later makes good: of the partition, else of the pipeline.

    Of a date Airflow has one run only: nothing but that run itself makes it good. failed_at: when, of a run
    that has no such end any more.
    """
    # One whose end is yet to come, by a clock that is wrong, makes nothing good.
    until = timezone.now() + SKEW
    successes = Run.objects.filter(dag_id=OuterRef("dag_id"), state=RunState.SUCCESS, ended_at__lte=until)
    # Left out, as the index has them not, and PostgreSQL cannot know that of the row outside.
    of_partition = successes.filter(_of_partition, partition_key=OuterRef("partition_key"))
    since = Coalesce("ended_at", "created_at") if failed_at is None else Value(failed_at)
    return Q(~_of_date, ~_of_partition, GreaterThan(_latest_end(successes), since)) | Q(
        _of_partition, GreaterThan(_latest_end(of_partition), since)
    )


def _latest_end(runs: QuerySet[Run]) -> Coalesce:
    """Long ago for none. By this it is asked whether one ended later: `Exists` reads the table through."""
    return Coalesce(Subquery(runs.order_by("-ended_at").values("ended_at")[:1]), Value(_LONG_AGO))


@dataclass(frozen=True)
class Wanted:
    """Each is empty for no matter. by: a user of ours, or the name of whoever asked. until: not included.

    logical_since, logical_until: the same of the logical date. is_unmended: failed, and no later run made it
    good: of its partition; else of the pipeline, unless a schedule or a backfill made it for a date. Runs
    that Airflow no longer has, or of a pipeline that it no longer has, are left out then: nothing could make
    them good.

    order: a key of `ORDERS`, "-" before it for the other way; runs that have not ended have no duration yet,
    some have no logical date, and those come last either way.
    """

    text: str = ""
    state: str = ""
    run_type: str = ""
    by: User | str = ""
    since: datetime | None = None
    until: datetime | None = None
    logical_since: datetime | None = None
    logical_until: datetime | None = None
    order: str = ""
    is_unmended: bool = False
    backfill_id: int | None = None


def columns(order: str) -> tuple[str, str]:
    """What a list in this order is sorted by, the key last."""
    falls, name = order.startswith("-"), order.removeprefix("-")
    if name not in ORDERS:
        return columns(NEWEST_FIRST)
    sign = "-" if falls else ""
    return f"{sign}{ORDERS[name]}", f"{sign}pk"


def narrowed(wanted: Wanted, *, dag_id: str = "") -> QuerySet[Run]:
    """Those that fit, in their order, of one pipeline or of all."""
    fits = Q()
    if dag_id:
        fits &= Q(dag_id=dag_id)
    if wanted.state:
        fits &= Q(state=wanted.state)
    if wanted.run_type:
        fits &= Q(run_type=wanted.run_type)
    if wanted.backfill_id is not None:
        fits &= Q(backfill_id=wanted.backfill_id)
    if wanted.since:
        fits &= Q(created_at__gte=wanted.since)
    if wanted.until:
        fits &= Q(created_at__lt=wanted.until)
    if wanted.logical_since:
        fits &= Q(logical_date__gte=wanted.logical_since)
    if wanted.logical_until:
        fits &= Q(logical_date__lt=wanted.logical_until)
    if wanted.is_unmended:
        fits &= Q(~made_good(), ~Exists(_gone), state=RunState.FAILED, gone_at=None)
    fits &= _by(wanted.by) & _named(wanted.text, has_one_pipeline=bool(dag_id))
    found = Run.objects.filter(fits)
    by = columns(wanted.order)
    return Order(found.annotate(took=TOOK) if "took" in by[0] else found, by).all()


def _by(person: User | str) -> Q:
    """A user's own runs are those asked for here, and those that Airflow says to be of that name."""
    if isinstance(person, User):
        return Q(requested_by=person) | Q(requested_by=None, triggered_by=person.get_username())
    return Q(requested_by__username__iexact=person) | Q(triggered_by__iexact=person) if person else Q()


def _named(text: str, *, has_one_pipeline: bool) -> Q:
    """By our number, Airflow's id, the partition, the note, who asked; of several pipelines also by those."""
    if not text:
        return Q()
    fits = Q(dag_run_id__icontains=text) | Q(partition_key__icontains=text)
    fits |= Q(triggered_by__icontains=text) | Q(note__icontains=text)
    if not has_one_pipeline:
        fits |= Q(dag_id__icontains=text)
    number = edge.whole_or(None, text.removeprefix("#"))
    return fits if number is None else fits | Q(pk=number)
