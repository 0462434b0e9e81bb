"""Pipelines as rules look at them, read from the mirror; and whether that knows what Airflow does now."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from core.lib.models import SyncState
from pipelines import run_list, verdicts
from pipelines.models import Pipeline, Run
from pipelines.states import ENDED, TIMED, RunState
from pipelines.verdicts import Past, Watched

N_ENDED: Final = 10  # of each pipeline and state: several may end between two looks, or overlap
POLLS: Final = ("pipelines.sync.sync_pipelines", "pipelines.sync.sync_runs")
CURRENT_WITHIN: Final = timedelta(minutes=1)
FAILED_WITHIN: Final = timedelta(minutes=2)  # polls that fail are tried again after half a minute at most
COLUMNS: Final = (
    *("pk", "dag_run_id", "state", "run_type"),
    *("created_at", "started_at", "ended_at", "run_after", "queued_at"),
)


@dataclass(frozen=True)
class Mirror:
    """is_current: it knows what Airflow does now. is_cut_off: it does not, as Airflow was asked in vain.

    Neither while nobody asks: the console itself was away then, and that says nothing about pipelines.
    """

    is_current: bool
    is_cut_off: bool

    @classmethod
    def read(cls) -> "Mirror":
        """As of now."""
        states, now = SyncState.objects.in_bulk(POLLS), timezone.now()
        succeeded = [
            state
            for state in states.values()
            if state.is_current and state.last_success_at and state.last_success_at > now - CURRENT_WITHIN
        ]
        failed = [
            state
            for state in states.values()
            if state.last_error and state.last_error_at and state.last_error_at > now - FAILED_WITHIN
        ]
        return cls(len(succeeded) == len(POLLS), bool(failed))


def read(dag_ids: Sequence[str]) -> list[Watched]:
    """These pipelines as they stand in the mirror: four queries, however many there are."""
    runs = Run.objects.filter(dag_id=OuterRef("pk"))
    until = timezone.now() + verdicts.SKEW  # one from the time to come must not hide real ones
    by_end = runs.filter(ended_at__lte=until).order_by("-ended_at")
    # Nobody can make those good any more that Airflow does not have.
    failed = by_end.filter(state=RunState.FAILED, gone_at=None)
    succeeded, cancelled = (by_end.filter(state=state) for state in (RunState.SUCCESS, RunState.CANCELLED))
    # Of some no end is known, or none that can be.
    made = runs.filter(state__in=TIMED).exclude(state=RunState.FAILED, gone_at__isnull=False)
    rows = list(
        Pipeline.objects.filter(pk__in=dag_ids)
        .only("dag_id", "is_paused", "wanted_is_paused", "awake_at", "next_run_at", "gone_at")
        .annotate(
            # Any number of one state may have ended after those of another.
            failed=ArraySubquery(failed.values("pk")[:N_ENDED]),
            succeeded=ArraySubquery(succeeded.values("pk")[:N_ENDED]),
            cancelled=ArraySubquery(cancelled.values("pk")[:N_ENDED]),
            made=ArraySubquery(made.order_by("-created_at", "-pk").values("pk")[:N_ENDED]),
            last_success_at=Subquery(succeeded.values("ended_at")[:1]),
        )
    )
    newest = {pk for row in rows for pk in (*row.failed, *row.succeeded, *row.cancelled, *row.made)}
    ended = pasts(Run.objects.filter(pk__in=newest))
    failures = [run.pk for runs in ended.values() for run in runs if run.state == RunState.FAILED]
    good = Run.objects.filter(run_list.made_good(), pk__in=failures).order_by()
    made_good = frozenset(good.values_list("pk", flat=True))
    under_way = pasts(Run.objects.filter(dag_id__in=dag_ids).exclude(state__in=ENDED))
    return [
        Watched(
            row.dag_id,
            is_paused=row.shows_paused or row.is_paused,
            awake_at=row.awake_at,
            next_run_at=row.next_run_at,
            last_success_at=row.last_success_at,
            ended=ended[row.dag_id],
            under_way=under_way[row.dag_id],
            gone_at=row.gone_at,
            made_good=made_good,
        )
        for row in rows
    ]


def pasts(runs: QuerySet[Run]) -> dict[str, list[Past]]:
    """The runs of each pipeline, as far as rules look at them."""
    found: dict[str, list[Past]] = defaultdict(list)
    for dag_id, *values in runs.order_by().values_list("dag_id", *COLUMNS):
        found[dag_id].append(Past(*values))
    return found
