"""What pages and REST read of backfills; nothing here asks Airflow."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn
from zoneinfo import ZoneInfo

from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils.translation import gettext as _

from core.lib.errors import NotFound
from pipelines.backfill_models import OPEN, Backfill
from pipelines.models import NOT_THERE, Pipeline, Run
from pipelines.states import ENDED, RunState

OF_SCHEDULE = ("scheduled", "backfill")  # types of runs; others have dates of their own


@dataclass(frozen=True)
class Progress:
    """Its runs by state."""

    n_by_state: dict[str, int]

    @property
    def n(self) -> int:
        """How many there are."""
        return sum(self.n_by_state.values())

    @property
    def n_done(self) -> int:
        """How many have come to an end, whichever."""
        return sum(n for state, n in self.n_by_state.items() if state in ENDED)

    @property
    def n_failed(self) -> int:
        """How many of those failed."""
        return self.n_by_state.get(RunState.FAILED, 0)

    @property
    def share(self) -> float:
        """What of them has come to an end, from 0 to 1."""
        return self.n_done / self.n if self.n else 0.0


@dataclass(frozen=True)
class Row:
    """A backfill with how far it is."""

    backfill: Backfill
    progress: Progress


def backfills(*, dag_id: str = "", state: str = "") -> QuerySet[Backfill]:
    """Newest first, of one pipeline or of all. state: one, or `open` for those that are not over."""
    found = _dated().select_related("requested_by").order_by("-created_at", "-pk")
    if dag_id:
        found = found.filter(dag_id=dag_id)
    if state == "open":
        return found.filter(state__in=OPEN)
    return found.filter(state=state) if state else found


def _dated() -> QuerySet[Backfill]:
    """is_partitioned: the dates are what clocks show in the zone of the schedule, labelled as UTC."""
    by_clock = Pipeline.objects.filter(pk=OuterRef("dag_id"), is_partitioned=True)
    return Backfill.objects.annotate(is_partitioned=Exists(by_clock))


def backfill(backfill_id: int) -> Backfill:
    """Raises NotFound."""
    found = _dated().select_related("requested_by", "wished_by").filter(pk=backfill_id).first()
    return found or missing(backfill_id)


def missing(backfill_id: int) -> NoReturn:
    """Raises NotFound."""
    raise NotFound(_("There is no backfill %(id)s.") % {"id": backfill_id})


def with_progress(found: Iterable[Backfill]) -> list[Row]:
    """Counted where the runs are kept, in one query."""
    rows = list(found)
    of_runs = Run.objects.filter(backfill__in=[row.pk for row in rows]).order_by()
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for backfill_id, state, n in of_runs.values_list("backfill_id", "state").annotate(n=Count("pk")):
        counts[backfill_id][state] = n
    return [Row(row, Progress(counts[row.pk])) for row in rows]


def runs_of(found: Backfill) -> QuerySet[Run]:
    """In the order of their dates."""
    runs = Run.objects.filter(backfill=found).select_related("requested_by")
    return runs.order_by("-logical_date" if found.run_backwards else "logical_date", "pk")


def runs_at(pipeline: Pipeline, dates: Sequence[datetime]) -> dict[datetime, Run]:
    """The runs that a pipeline has at these dates; of a partitioned one the latest of each partition."""
    name = _date_of(pipeline)
    runs = Run.objects.filter(dag_id=pipeline.pk, **{f"{name}__in": dates}).exclude(NOT_THERE)
    return {getattr(run, name): run for run in runs.defer("conf", "note").order_by("created_at", "pk")}


def n_kept(pipeline: Pipeline, first: datetime, last: datetime, *, but: Sequence[datetime]) -> int:
    """How many runs of its schedule a pipeline has between these, both included, and not at those dates.

    Of a partitioned one, where `first` and `last` are wall clocks, all its runs: another one of a partition
    keeps Airflow from making one, too. 0 where the zone of these clocks is not told.
    """
    runs = Run.objects.filter(dag_id=pipeline.pk).exclude(NOT_THERE)
    if not pipeline.is_partitioned:
        runs = runs.filter(run_type__in=OF_SCHEDULE)
    elif not pipeline.schedule_zone:
        return 0
    else:
        first, last = (at.replace(tzinfo=ZoneInfo(pipeline.schedule_zone)) for at in (first, last))
    name = _date_of(pipeline)
    return runs.filter(**{f"{name}__range": (first, last)}).exclude(**{f"{name}__in": but}).count()


def _date_of(pipeline: Pipeline) -> str:
    return "partition_date" if pipeline.is_partitioned else "logical_date"
