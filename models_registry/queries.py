"""Reads: models, versions, requests and runs, for the pages, REST and the apps above."""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.urls import reverse
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib.errors import InvalidRequest, NotFound
from core.lib.hits import Hit
from models_registry.champions import (
    Champion,
    champion,
    champion_before,
    champion_folder,
    champion_onnx,
    champion_reference,
    champions,
    scorer,
)
from models_registry.models import (
    ChampionPeriod,
    Experiment,
    GateRun,
    MlflowRun,
    ModelVersion,
    PromotionRequest,
    RegisteredModel,
    ServingTrouble,
)
from models_registry.states import RequestState, VersionState

__all__ = [
    "Champion",
    "champion",
    "champion_before",
    "champion_folder",
    "champion_onnx",
    "champion_reference",
    "champions",
    "scorer",
]

RECENT_VERSIONS = 20
HIT_RUNS, SHORTEST_ID = 5, 4
_VERSION = re.compile(r"(.+?) +v?([0-9]{1,9})", re.IGNORECASE)


# --- models and versions


def models() -> QuerySet[RegisteredModel]:
    """Registered models by name, with `open_requests`, and `newest` and `periods_now` fetched along."""
    newest = (
        ModelVersion.objects.filter(gone_at=None, archived_at=None).defer("spec_json").order_by("-version")
    )
    now = ChampionPeriod.objects.filter(until=None).select_related("version", "by")
    now = now.prefetch_related("version__troubles")
    is_open = Q(versions__requests__state=RequestState.REQUESTED)
    is_served = Exists(ChampionPeriod.objects.filter(model=OuterRef("pk"), until=None))
    return (
        RegisteredModel.objects.filter(Q(gone_at=None) | is_served)
        .annotate(open_requests=Count("versions__requests", filter=is_open, distinct=True))
        .prefetch_related(
            Prefetch("versions", newest[:RECENT_VERSIONS], "newest"), Prefetch("periods", now, "periods_now")
        )
        .order_by("name")
    )


def model(name: str) -> RegisteredModel:
    """One model, as `models` gives them. Raises NotFound."""
    found = models().filter(name=name).first()
    if found is None:
        raise NotFound(_("There is no model %(name)s.") % {"name": name})
    return found


def listed_versions(model_name: str, state: str = "") -> QuerySet[ModelVersion]:
    """As `versions`: those in this state, or else all that are not archived. Raises InvalidRequest."""
    _check_state(state, VersionState.values)
    rows = versions(model_name).defer("spec_json")
    return rows.filter(state=state) if state else rows.exclude(state=VersionState.ARCHIVED)


def _check_state(state: str, known: list[str]) -> None:
    if state and state not in known:
        message = _("There is no such state.")
        raise InvalidRequest(message, errors=[{"field": "state", "message": message}])


def versions(model_name: str) -> QuerySet[ModelVersion]:
    """Versions of a model, newest first, each with its `last_gate_state`."""
    last_gate = GateRun.objects.filter(version=OuterRef("pk")).order_by("-pk").values("state")[:1]
    rows = ModelVersion.objects.filter(model__name=model_name).select_related("model")
    return rows.annotate(last_gate_state=Subquery(last_gate)).order_by("-version")


def version(model_name: str, number: int) -> ModelVersion:
    """One version. Raises NotFound."""
    found = versions(model_name).filter(version=number).first()
    if found is None:
        raise NotFound(_("%(model)s has no version %(version)s.") % {"model": model_name, "version": number})
    return found


def last_gate(row: ModelVersion) -> GateRun | None:
    """The newest judgement of the version, running ones too."""
    return row.gates.select_related("requested_by").order_by("-pk").first()


def open_request(row: ModelVersion) -> PromotionRequest | None:
    """The request that waits for a decision."""
    return row.requests.filter(state=RequestState.REQUESTED).select_related("requested_by").first()


def champion_trouble(model_name: str) -> ServingTrouble | None:
    """Why serving refuses the model's champion, if it does."""
    rows = ServingTrouble.objects.filter(
        version__model__name=model_name, version__state=VersionState.CHAMPION
    )
    return rows.select_related("version").defer("version__spec_json").order_by("-last_seen_at").first()


def champion_version(model_name: str) -> ModelVersion | None:
    return ModelVersion.objects.filter(model__name=model_name, state=VersionState.CHAMPION).first()


def champion_numbers() -> dict[str, int]:
    """Version of each model's champion, without its files and facts."""
    rows = ChampionPeriod.objects.filter(until=None).order_by("model__name")
    return dict(rows.values_list("model__name", "version__version"))


def exists(name: str) -> bool:
    """Whether the model is registered."""
    return RegisteredModel.objects.filter(name=name).exists()


def model_names() -> list[str]:
    """All names, sorted."""
    return list(RegisteredModel.objects.filter(gone_at=None).order_by("name").values_list("name", flat=True))


def spec_json(name: str, number: int | None = None) -> bytes | None:
    """serving/spec.json of the champion, or of one version; None when there is none."""
    rows = ModelVersion.objects.filter(model__name=name)
    row = rows.filter(version=number) if number is not None else rows.filter(state=VersionState.CHAMPION)
    text = row.values_list("spec_json", flat=True).first()
    return text.encode() if text else None


# --- the ledger and the inbox


def history(model_name: str, at: datetime | None = None) -> QuerySet[ChampionPeriod]:
    """Who was champion, newest first; `at` leaves only who was at that moment."""
    rows = ChampionPeriod.objects.filter(model__name=model_name)
    if at is not None:
        rows = rows.filter(since__lte=at).filter(Q(until=None) | Q(until__gt=at))
    return rows.select_related("version__model", "model", "by", "request__requested_by").order_by(
        "-since", "-pk"
    )


def alias_warning(row: RegisteredModel) -> dict[str, Any] | None:
    """What MLflow's alias says when it is not what the ledger says, and no delivery is on its way.

    Nothing for a champion that MLflow has no more: no alias can name it, and an alert of its own tells.
    """
    now = row.periods.filter(until=None).select_related("version").first()
    if now is not None and now.version.gone_at is not None:
        return None
    ledger_version = now.version.version if now else None
    if row.alias_version == ledger_version or _is_delivered_soon(row, now):
        return None
    return {"alias": row.alias_version, "ledger": ledger_version}


def _is_delivered_soon(row: RegisteredModel, now: ChampionPeriod | None) -> bool:
    period = now or row.periods.order_by("-since", "-pk").first()
    return period is not None and period.next_attempt_at is not None


def promotions() -> QuerySet[PromotionRequest]:
    """All requests with what a list shows of them."""
    return PromotionRequest.objects.select_related("version__model", "requested_by", "decided_by", "period")


def listed_promotions(state: str = "") -> QuerySet[PromotionRequest]:
    """As `promotions`: those in this state, or else all. Raises InvalidRequest."""
    _check_state(state, RequestState.values)
    return promotions().filter(state=state) if state else promotions()


def promotion(request_id: int) -> PromotionRequest:
    """One request. Raises NotFound."""
    found = promotions().filter(pk=request_id).first()
    if found is None:
        raise NotFound(_("There is no promotion request %(id)s.") % {"id": request_id})
    return found


def waiting() -> QuerySet[PromotionRequest]:
    """Requests that wait for a decision, oldest first."""
    return promotions().filter(state=RequestState.REQUESTED).order_by("requested_at")


def needs_you(user: User) -> list[PromotionRequest]:
    """What waits for this person's decision: open requests of others, for who may decide."""
    if not policy.allows(user, "models.decide"):
        return []
    return list(waiting().exclude(requested_by_id=user.pk)[:10])


# --- experiments and runs


def experiments() -> QuerySet[Experiment]:
    """Experiments with `n_runs`, those with the newest runs first."""
    newest = MlflowRun.objects.filter(experiment=OuterRef("pk"), gone_at=None).order_by(
        F("started_at").desc(nulls_last=True)
    )
    return (
        Experiment.objects.filter(gone_at=None)
        .annotate(
            n_runs=Count("runs", filter=Q(runs__gone_at=None)),
            last_run_at=Subquery(newest.values("started_at")[:1]),
        )
        .order_by(F("last_run_at").desc(nulls_last=True), "name")
    )


def experiment(experiment_id: str) -> Experiment:
    """One experiment. Raises NotFound."""
    found = experiments().filter(pk=experiment_id).first()
    if found is None:
        raise NotFound(_("There is no experiment %(id)s.") % {"id": experiment_id})
    return found


def run(run_id: str) -> MlflowRun:
    """One run. Raises NotFound."""
    found = MlflowRun.objects.select_related("experiment").filter(pk=run_id).first()
    if found is None:
        raise NotFound(
            _("There is no MLflow run %(id)s here. New ones show within seconds.") % {"id": run_id}
        )
    return found


def dag_runs_of_versions(dag_run_ids: Collection[str]) -> set[str]:
    """Those of these pipeline runs that a version came from."""
    found = ModelVersion.objects.filter(dag_run_id__in=dag_run_ids)
    return set(found.values_list("dag_run_id", flat=True))


def runs_of_dag_run(dag_id: str, dag_run_id: str) -> list[MlflowRun]:
    """MLflow runs that a pipeline run made, oldest first.

    Scheduled runs of several pipelines share an id: those that say another pipeline made them are left out.
    """
    if not dag_run_id:
        return []
    rows = MlflowRun.objects.filter(dag_run_id=dag_run_id, gone_at=None).select_related("experiment")
    rows = rows.filter(Q(tags__dag_id=dag_id) | ~Q(tags__has_key="dag_id"))
    return list(rows.order_by("started_at")[:50])


def dag_of(row: ModelVersion) -> str:
    """The pipeline that made the version, as its MLflow run says; empty where that does not say it."""
    tags = MlflowRun.objects.filter(pk=row.run_id).values_list("tags", flat=True).first() or {}
    return str(tags.get("dag_id", ""))


def versions_of_runs(run_ids: Iterable[str]) -> dict[str, list[ModelVersion]]:
    """Versions registered from these runs, by run."""
    found: dict[str, list[ModelVersion]] = {}
    rows = ModelVersion.objects.filter(run_id__in=list(run_ids)).select_related("model").defer("spec_json")
    for row in rows.order_by("model__name", "version"):
        found.setdefault(row.run_id, []).append(row)
    return found


def scores_of(newest: Sequence[ModelVersion]) -> list[float]:
    """Hold-out metrics of versions given newest first, oldest first.

    Of those with the metric of the newest that has one: an error of 48,000 and a share of 0.8 make no line.
    """
    scored = [(row.primary_metric, row.score) for row in newest if row.score is not None]
    return [score for metric, score in reversed(scored) if metric == scored[0][0]]


def primary_metrics(run_ids: Iterable[str]) -> set[str]:
    """What the versions made by these runs are judged by."""
    rows = ModelVersion.objects.filter(run_id__in=list(run_ids)).exclude(primary_metric="")
    return set(rows.values_list("primary_metric", flat=True).distinct())


def search(text: str, user: User) -> list[Hit]:
    """Models and experiments whose name contains the text, versions ("titanic 3", "titanic v3")."""
    if not policy.allows(user, "see"):
        return []
    found = RegisteredModel.objects.filter(name__icontains=text, gone_at=None).order_by("name")[:5]
    hits = [
        Hit(row.name, reverse("models:model-detail", args=[row.name]), _("model"), "models") for row in found
    ]
    for row in Experiment.objects.filter(name__icontains=text, gone_at=None).order_by("name")[:3]:
        url = reverse("models:experiment-detail", args=[row.pk])
        hits.append(Hit(row.name, url, _("experiment"), "models"))
    return [*_version_hits(text), *hits]


def _version_hits(text: str) -> list[Hit]:
    found = _VERSION.fullmatch(text)
    if found is None:
        return []
    rows = ModelVersion.objects.filter(
        model__name__icontains=found[1], version=int(found[2]), gone_at=None
    ).select_related("model")
    return [
        Hit(
            str(row),
            reverse("models:version-detail", args=[row.model.name, row.version]),
            _("version"),
            "models",
        )
        for row in rows.defer("spec_json").order_by("model__name")[:3]
    ]


def search_runs(text: str, _user: User) -> list[Hit]:
    """MLflow's runs by name or the start of their id, newest first."""
    if len(text) < SHORTEST_ID:
        return []
    wanted = Q(run_id__startswith=text.lower()) | Q(name__icontains=text)
    found = MlflowRun.objects.filter(wanted, gone_at=None).order_by(F("started_at").desc(nulls_last=True))
    return [
        Hit(
            row.name or row.run_id, reverse("models:run-detail", args=[row.run_id]), _("MLflow run"), "models"
        )
        for row in found.only("run_id", "name")[:HIT_RUNS]
    ]
