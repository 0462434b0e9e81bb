"""Reads of what the use cases have collected and decided; what lies in other apps is asked there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError
from django.db.models import Count, Max, QuerySet, Sum
from django.utils.translation import gettext as _

from core.lib.errors import Unavailable
from models_registry import queries as registry
from models_registry.models import ModelVersion
from pipelines.models import Pipeline, Run
from usecases.catalogue import UseCase
from usecases.models import Batch, Decision, LoadTest, RejectedRow


@dataclass(frozen=True)
class Totals:
    """Of all batches of one use case; `last_at` is when the newest came."""

    n_batches: int
    rows_in: int
    rows_new: int
    rows_duplicate: int
    rows_rejected: int
    last_at: object


@contextmanager
def reachable() -> Iterator[None]:
    """Raises Unavailable in words where the database of the use cases is away."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable(_("The database of the use cases does not answer.")) from error


def batches(usecase: str) -> QuerySet[Batch]:
    """Newest first."""
    return Batch.objects.filter(usecase=usecase).order_by("-id")


def rejected(batch: Batch) -> QuerySet[RejectedRow]:
    """Rows of the batch that could not be taken, in their order."""
    return batch.rejected_rows.order_by("position", "id")


def decisions(usecase: str) -> QuerySet[Decision]:
    """Newest first."""
    return Decision.objects.filter(usecase=usecase).order_by("-id")


def load_tests(usecase: str) -> QuerySet[LoadTest]:
    """Newest first."""
    return LoadTest.objects.filter(usecase=usecase).order_by("-id")


def totals(usecase: str) -> Totals:
    """Raises Unavailable."""
    sums = {name: Sum(name, default=0) for name in ("rows_in", "rows_new", "rows_duplicate", "rows_rejected")}
    with reachable():
        found = Batch.objects.filter(usecase=usecase).aggregate(
            n_batches=Count("id"), last_at=Max("at"), **sums
        )
    return Totals(**found)


def pipelines(usecase: UseCase) -> list[tuple[str, Pipeline | None, Run | None]]:
    """Its pipelines in their order, each with its newest run; None for what Airflow has not shown yet."""
    known = Pipeline.objects.in_bulk(usecase.pipelines)
    newest = Run.objects.filter(dag_id__in=usecase.pipelines).order_by("dag_id", "-created_at", "-pk")
    runs = {run.dag_id: run for run in newest.distinct("dag_id")}
    return [(dag_id, known.get(dag_id), runs.get(dag_id)) for dag_id in usecase.pipelines]


def champion(usecase: UseCase) -> ModelVersion | None:
    """The version that answers now."""
    return registry.champion_version(usecase.model) if usecase.model else None
