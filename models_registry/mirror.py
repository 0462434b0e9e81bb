"""Saves what MLflow says as rows: only what differs is written, and who asks learns whether something did."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import structlog
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from psycopg2.errors import UniqueViolation

from core.access.models import User
from core.lib import storable
from core.lib.aside import Unread
from core.lib.errors import Conflict, InvalidRequest, NotFound
from models_registry import loops
from models_registry.gateway import ExperimentInfo, MlflowGateway, ModelInfo, RunInfo, VersionInfo
from models_registry.models import Experiment, MlflowRun, ModelVersion, RegisteredModel
from models_registry.states import VersionState
from scoring.spec import parsed

log = structlog.get_logger(__name__)

SPEC = "serving/spec.json"
SPEC_LIMIT_BYTES = 2**20
BATCH = 100
# tags of a run that say what a version was made from, and how long their columns are
LINEAGE = {"dag_run_id": 250, "git_sha": 64, "data_sha256": 64, "data_source": 20, "holdout_sha256": 64}


def save_experiments(found: Sequence[ExperimentInfo | Unread], *, are_all: bool = False) -> None:
    """Add and rename; `are_all` also marks those that MLflow lacks now."""
    key = attrgetter("experiment_id")
    loops.EXPERIMENTS.save(found, _save_experiments, key=key, about=key, is_all=True)
    if are_all:
        listed = {info.key for info in found}
        here = Experiment.objects.filter(gone_at=None).values_list("pk", flat=True)
        gone = [pk for pk in here if pk not in listed]
        Experiment.objects.filter(pk__in=gone).update(gone_at=timezone.now())


def _save_experiments(found: Sequence[ExperimentInfo]) -> None:
    known = Experiment.objects.in_bulk([info.experiment_id for info in found])
    for info in found:
        values = {"name": info.name, "created_at": info.created_at, "updated_at": info.updated_at}
        row = known.setdefault(info.experiment_id, Experiment(experiment_id=info.experiment_id))
        _save(row, values)


def save_runs(runs: Iterable[RunInfo | Unread]) -> list[str]:
    """Ids of the runs whose rows changed; of the runs themselves no more than a batch is held."""
    key, about = attrgetter("run_id"), attrgetter("experiment_id")
    return loops.RUNS.save(runs, _save_runs, key=key, about=about, at_once=BATCH)


def _save_runs(runs: Sequence[RunInfo]) -> list[str]:
    known = MlflowRun.objects.in_bulk([run.run_id for run in runs])
    changed = []
    for run in runs:
        row = known.setdefault(run.run_id, MlflowRun(run_id=run.run_id))
        if _save(row, _run_values(run), is_gone=run.is_deleted):
            changed.append(run.run_id)
    return changed


def _run_values(run: RunInfo) -> dict[str, Any]:
    return {
        "experiment_id": run.experiment_id,
        "name": run.name,
        "status": run.status,
        "user": run.user,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "artifact_uri": run.artifact_uri,
        "params": run.params,
        "metrics": {key: _storable(value) for key, value in run.metrics.items()},
        "tags": run.tags,
        "dag_run_id": run.tags.get("dag_run_id", "")[:250],
    }


def save_models(found: Sequence[ModelInfo | Unread]) -> list[str]:
    """All models that MLflow has; names of those that are new or changed."""
    key = attrgetter("name")
    return loops.MODELS.save(found, _save_models, key=key, about=key, is_all=True)


def _save_models(found: Sequence[ModelInfo]) -> list[str]:
    known = RegisteredModel.objects.in_bulk([info.name for info in found], field_name="name")
    return [info.name for info in found if _save_model(info, known)]


def save_model(info: ModelInfo) -> bool:
    """Whether the model is new or changed."""
    return _save_model(info, RegisteredModel.objects.in_bulk([info.name], field_name="name"))


def _save_model(info: ModelInfo, known: dict[str, RegisteredModel]) -> bool:
    row = known.setdefault(info.name, RegisteredModel(name=info.name))
    values = {
        "description": info.description,
        "alias_version": info.champion,
        "created_at": info.created_at,
    }
    return _save(row, values)


def forget_unaddressable() -> None:
    """Take away models that releases before kept though no address carries their names, with their versions.

    Nothing can have been decided about them: no page of theirs opened.
    """
    found = RegisteredModel.objects.filter(Q(name__contains="/") | Q(name__in=(".", "..")))
    versions = ModelVersion.objects.filter(model__in=found)
    versions.filter(gates=None, requests=None, periods=None).delete()
    found.filter(versions=None, periods=None).delete()


def save_version(mlflow: MlflowGateway, info: VersionInfo) -> ModelVersion:
    """The version's row, with lineage from its run's tags and its spec, where they are found.

    Raises Unavailable, Unauthorized while the spec cannot be asked for; the row is there all the same.
    """
    model, _is_new = RegisteredModel.objects.get_or_create(name=info.model)
    row = model.versions.filter(version=info.version).first() or ModelVersion(
        model=model, version=info.version
    )
    if is_another(row, info):
        row = _made_anew(row)
    run = _run_of(mlflow, info)
    values: dict[str, Any] = {
        "run_id": info.run_id,
        "source": info.source,
        "description": info.description,
        "registered_at": info.created_at,
    }
    if run is not None:
        values |= {key: run.tags[key][:size] for key, size in LINEAGE.items() if key in run.tags}
        values["registered_by"] = run.tags.get("requested_by") or info.user or run.user
        values["is_demo"] = row.is_demo or _is_of_demonstration(values["registered_by"])
    _save(row, values)
    row = model.versions.get(version=info.version)
    if run is not None and not row.spec_json:
        spec_json = _spec(mlflow, run)
        found = {"spec_json": spec_json, "primary_metric": primary_metric(spec_json)}
        # Unless the gate has written the one that it judged meanwhile.
        ModelVersion.objects.filter(pk=row.pk, spec_json="").update(**found)
        row.refresh_from_db(fields=list(found))
    return row


def is_another(row: ModelVersion, info: VersionInfo) -> bool:
    """Whether MLflow's version only bears the number of ours: the model was deleted and registered anew."""
    if row._state.adding:
        return False
    both_say_when = row.registered_at is not None and info.created_at is not None
    return row.run_id != info.run_id or (both_say_when and row.registered_at != info.created_at)


def mark_replaced(found: Iterable[VersionInfo]) -> set[str]:
    """Note that MLflow has those of our versions no more whose numbers others bear. Names of their models."""
    infos = {(info.model, info.version): info for info in found}
    numbers = {number for _name, number in infos}
    rows = ModelVersion.objects.filter(gone_at=None, version__in=numbers).select_related("model")
    rows = rows.filter(model__name__in={name for name, _number in infos}).defer("spec_json")
    replaced = [
        row
        for row in rows
        if (row.model.name, row.version) in infos and is_another(row, infos[row.model.name, row.version])
    ]
    ModelVersion.objects.filter(pk__in=[row.pk for row in replaced]).update(gone_at=timezone.now())
    return {row.model.name for row in replaced}


def _made_anew(row: ModelVersion) -> ModelVersion:
    """A fresh row where nothing was decided about the old one, whose number it takes.

    Raises Conflict where something was: that stays with the version that it was about.
    """
    is_decided = any(rows.exists() for rows in (row.gates, row.requests, row.periods))
    if is_decided or row.state != VersionState.CANDIDATE:
        last = row.model.versions.latest("version").version
        words = _(
            "MLflow's %(version)s is not the one that was judged here: that was deleted there and the number"
            " given again. What was decided stays with the old one. Register the new one again until its"
            " number is above %(last)s."
        )
        raise Conflict(words % {"version": row, "last": last}, service="mlflow")
    row.delete()
    return ModelVersion(model=row.model, version=row.version)


def _is_of_demonstration(name: str) -> bool:
    """Whether this is a user of the demonstration. Those users go one day; a version stays marked."""
    return User.objects.filter(username=name, is_demo=True).exists()


@dataclass(frozen=True)
class Here:
    """What the console knows before it walks through all that MLflow has; no clock is needed to compare."""

    runs: set[str]
    models: set[str]
    versions: set[tuple[str, int]]

    @classmethod
    def now(cls) -> "Here":
        """What is not marked as gone."""
        there = {"gone_at": None}
        return cls(
            set(MlflowRun.objects.filter(**there).values_list("run_id", flat=True)),
            set(RegisteredModel.objects.filter(**there).values_list("name", flat=True)),
            set(ModelVersion.objects.filter(**there).values_list("model__name", "version")),
        )


def mark_gone(gone: Here) -> set[str]:
    """Note that MLflow has these no more. Names of the models that lost a version."""
    now = timezone.now()
    MlflowRun.objects.filter(pk__in=gone.runs, gone_at=None).update(gone_at=now)
    RegisteredModel.objects.filter(name__in=gone.models, gone_at=None).update(gone_at=now)
    for name, version in gone.versions:
        ModelVersion.objects.filter(model__name=name, version=version, gone_at=None).update(gone_at=now)
    return {name for name, _version in gone.versions}


def _save(row: models.Model, values: dict[str, Any], *, is_gone: bool = False) -> bool:
    gone_at = (getattr(row, "gone_at", None) or timezone.now()) if is_gone else None
    changed = {
        key: value
        for key, value in (values | {"gone_at": gone_at}).items()
        if _as_logged(getattr(row, key)) != value
    }
    is_new = row._state.adding
    for key, value in changed.items():
        setattr(row, key, value)
    if is_new:
        return _insert(row)
    if changed:
        row.save(update_fields=list(changed))
    return bool(changed)


def _as_logged(value: Any) -> Any:
    """A metric of 1e25 comes back from PostgreSQL's JSON as a whole number, which no float is equal to."""
    if not isinstance(value, dict):
        return value
    return {key: float(one) if type(one) is int else one for key, one in value.items()}


def _insert(row: models.Model) -> bool:
    """False when another poll, which runs beside this one, added the same row a moment ago."""
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        log.info("mirror.written_meanwhile", row=str(row))
        return False
    return True


def _storable(value: float | str) -> float | str:
    return value if isinstance(value, str) or math.isfinite(value) else str(value)


def primary_metric(spec_json: str) -> str:
    """The metric that the spec names first of all; nothing for a spec that is none."""
    try:
        spec = parsed(spec_json or "{}")
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return ""
    return storable.text(str(spec.get("primary_metric", ""))[:40]) if isinstance(spec, dict) else ""


def _run_of(mlflow: MlflowGateway, info: VersionInfo) -> RunInfo | None:
    """The version's run; None for a version that has none, or whose run was deleted for good."""
    if not info.run_id:
        return None
    try:
        return mlflow.run(info.run_id)
    except NotFound:
        return None


def _spec(mlflow: MlflowGateway, run: RunInfo) -> str:
    """The text of the spec; nothing where there is none that can be read: the gate then says so in words.

    Raises Unavailable, Unauthorized: a store that hangs is not waited for once for each version.
    """
    try:
        text = mlflow.read_file(run.artifact_uri, SPEC, limit_bytes=SPEC_LIMIT_BYTES).decode()
    except NotFound:
        return ""
    except (InvalidRequest, UnicodeDecodeError) as error:
        log.warning("mirror.spec_not_read", run=run.run_id, error=str(error))
        return ""
    return text if "\x00" not in text else ""  # UTF-16 without its mark, say
