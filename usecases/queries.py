"""Reads of what the use cases have collected and decided; what lies in other apps is asked there."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.auth.models import AnonymousUser
from django.db import InterfaceError, OperationalError
from django.db.models import Count, Max, Q, QuerySet, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib.errors import NotFound, Unavailable
from core.lib.hits import Hit
from dags.recipes.real_estate.params import INPUTS
from models_registry import queries as registry
from models_registry.models import ChampionPeriod, ModelVersion
from pipelines.models import Pipeline, Run
from predictions import partitions
from predictions import queries as predictions
from predictions.models import Prediction
from usecases import gateway
from usecases.catalogue import USECASES, UseCase
from usecases.gateway import Damaged, Features, Version
from usecases.models import Batch, Decision, DecisionKind, LoadTest, RejectedRow, TrainingBatch

MOST_TRAINED = 100


@dataclass(frozen=True)
class Totals:
    """Of all batches of one use case; `last_at` is when the newest came.

    rows_asked: inputs of predictions that were kept, which are none of the rows that came in.
    """

    n_batches: int
    rows_in: int
    rows_new: int
    rows_duplicate: int
    rows_rejected: int
    last_at: object
    rows_asked: int = 0


@dataclass(frozen=True)
class Trained:
    """A model that was trained: why, how it was judged, and when it was live.

    version: None once the registry knows it no more.
    """

    decision: Decision
    ground: str
    version: ModelVersion | None
    periods: list[ChampionPeriod] = field(default_factory=list)

    @property
    def metric(self) -> str:
        """The metric that the version is judged by."""
        if self.version is not None:
            return self.version.primary_metric
        return next(iter(self.decision.metrics.get("candidate", {})), "")

    @property
    def figures(self) -> dict[str, float | None]:
        """Its metric beside the champion's and the baseline's, on the same hold-out."""
        told = self.decision.metrics
        return {who: (told.get(who) or {}).get(self.metric) for who in ("candidate", "champion", "baseline")}


@dataclass(frozen=True)
class Group:
    """Of the batches of one group of a service; `last_at` is when the newest came."""

    number: int
    n_batches: int
    rows_kept: int
    last_at: object


@contextmanager
def reachable() -> Iterator[None]:
    """Raises Unavailable in words where the database of the use cases is away."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable(_("The database of the use cases does not answer.")) from error


def dag_runs_of_ledgers(dag_run_ids: Collection[str]) -> set[str]:
    """Those of these pipeline runs that a batch or a decision came from. Raises Unavailable."""
    with reachable():
        return {
            name
            for model in (Batch, TrainingBatch, Decision)
            for name in model.objects.filter(dag_run_id__in=dag_run_ids).values_list("dag_run_id", flat=True)
        }


def batches(usecase: str) -> QuerySet[Batch]:
    """Newest first."""
    return Batch.objects.filter(usecase=usecase).order_by("-id")


def batch(usecase: str, batch_id: int) -> Batch:
    """Raises NotFound."""
    found = batches(usecase).filter(pk=batch_id).first()
    if found is None:
        raise NotFound(_("There is no batch %(id)s.") % {"id": batch_id})
    return found


def rejected(batch: Batch) -> QuerySet[RejectedRow]:
    """Rows of the batch that could not be taken, in their order."""
    return batch.rejected_rows.order_by("position", "id")


def shows_rows(usecase: UseCase, user: User | AnonymousUser) -> bool:
    """Whether the user may see its rows as they came: those of people only who may see all predictions."""
    return not usecase.is_personal or policy.allows(user, "predictions.see_all")


def decisions(usecase: str) -> QuerySet[Decision]:
    """Newest first."""
    return Decision.objects.filter(usecase=usecase).order_by("-id")


def trained(usecase: UseCase) -> list[Trained]:
    """Its newest hundred models, newest first."""
    judged = list(
        decisions(usecase.name).filter(kind=DecisionKind.PROMOTE, version__isnull=False)[:MOST_TRAINED]
    )
    runs = [decision.dag_run_id for decision in judged]
    grounds = dict(
        decisions(usecase.name)
        .filter(kind=DecisionKind.TRAIN, dag_run_id__in=runs)
        .values_list("dag_run_id", "reason")
    )
    numbers = [decision.version for decision in judged if decision.version is not None]
    versions = {row.version: row for row in registry.versions(usecase.model).filter(version__in=numbers)}
    periods: dict[int, list[ChampionPeriod]] = {}
    for period in registry.history(usecase.model).filter(version__version__in=numbers):
        periods.setdefault(period.version.version, []).append(period)
    return [
        Trained(
            decision,
            grounds.get(decision.dag_run_id, ""),
            versions.get(decision.version or 0),
            periods.get(decision.version or 0, []),
        )
        for decision in judged
    ]


def load_tests(usecase: str) -> QuerySet[LoadTest]:
    """Newest first."""
    return LoadTest.objects.filter(usecase=usecase).order_by("-id")


def totals(usecase: str) -> Totals:
    """Raises Unavailable."""
    names = ("rows_in", "rows_new", "rows_duplicate", "rows_rejected")
    asked = {f"{name}_asked": Sum(name, filter=Q(facts__kind=INPUTS), default=0) for name in names}
    every = {name: Sum(name, default=0) for name in names}
    with reachable():
        # In this order: afterwards the names of the sums stand for these, not for the columns.
        found = Batch.objects.filter(usecase=usecase).aggregate(
            n_batches=Count("id"), last_at=Max("at"), **asked, **every
        )
    came_in = {name: found[name] - found[f"{name}_asked"] for name in names}
    return Totals(found["n_batches"], **came_in, last_at=found["last_at"], rows_asked=found["rows_new_asked"])


def groups(usecase: str) -> list[Group]:
    """How far each group of the service has been collected, in their order."""
    found = Batch.objects.filter(usecase=usecase, facts__has_key="group").values("facts__group")
    told = found.annotate(n_batches=Count("id"), rows_kept=Sum("rows_new"), last_at=Max("at"))
    return [
        Group(row["facts__group"], row["n_batches"], row["rows_kept"], row["last_at"])
        for row in told.order_by("facts__group")
    ]


def pipelines(usecase: UseCase) -> list[tuple[str, Pipeline | None, Run | None]]:
    """Its pipelines in their order, each with its newest run; None for what Airflow has not shown yet."""
    known = Pipeline.objects.in_bulk(usecase.pipelines)
    newest = Run.objects.filter(dag_id__in=usecase.pipelines).order_by("dag_id", "-created_at", "-pk")
    runs = {run.dag_id: run for run in newest.distinct("dag_id")}
    return [(dag_id, known.get(dag_id), runs.get(dag_id)) for dag_id in usecase.pipelines]


def champion(usecase: UseCase) -> ModelVersion | None:
    """The version that answers now."""
    return registry.champion_version(usecase.model) if usecase.model else None


OUTLIERS_FOR = timedelta(days=7)


def outliers(usecase: UseCase, user: User, *, n: int) -> list[Prediction]:
    """The last week's newest predictions with a warning about their values, as far as the user may see."""
    rows = predictions.visible_to(user).filter(model=usecase.model).exclude(warnings=[])
    return list(rows.filter(id__gte=partitions.first_id(timezone.now() - OUTLIERS_FOR))[:n])


# --- the feature store


class FeaturePages:
    """Rows of a version, as a paginator takes them; each page is read when it is asked for."""

    def __init__(self, store: gateway.FeatureGateway, version: Version) -> None:
        self._store = store
        self._version = version

    def __len__(self) -> int:
        return self._version.n_rows

    def __getitem__(self, places: slice) -> list[Features | Damaged]:
        return self._store.page(self._version, first=places.start, n=places.stop - places.start)


@dataclass(frozen=True)
class Shelf:
    """What the feature store holds of an entity: its versions, the newest first, and one of them."""

    entity: str
    versions: list[Version]
    version: Version | None
    rows: FeaturePages | list[Features]


def shelf(entity: str, version: str = "") -> Shelf:
    """version: empty for the newest. Raises NotFound for one that is not there, Unavailable."""
    store = gateway.connect()
    versions = store.versions(entity)
    named = [found for found in versions if not version or found.version == version]
    if version and not named:
        raise NotFound(_("There is no version %(name)s of these features.") % {"name": version[:50]})
    chosen = named[0] if named else None
    return Shelf(entity, versions, chosen, FeaturePages(store, chosen) if chosen else [])


def features(entity: str, id_: str, version: str = "") -> Features:
    """version: empty for the newest. Raises NotFound, Unavailable."""
    return gateway.connect().features(entity, id_, version=version)


def search(text: str, _user: User) -> list[Hit]:
    """Use cases by title or name."""
    wanted = text.casefold().replace("_", " ")
    return [
        Hit(str(one.title), reverse("usecases:usecase-detail", args=[one.name]), _("use case"), "models")
        for one in USECASES
        if wanted in str(one.title).casefold() or wanted in one.name.replace("_", " ")
    ]
