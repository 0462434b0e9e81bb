"""MLflow's news into rows: what is new or running every few seconds, everything every ten minutes.

MLflow has no "changed since": tags written late and deletions show after the full walk.
"""

from datetime import timedelta

from django.db.models import Max
from django.utils import timezone

from core.lib import live
from core.lib.errors import NotFound
from core.lib.poll import poll
from models_registry import aliases, gateway, mirror
from models_registry.models import Experiment, MlflowRun, ModelVersion

NEWEST = 50
# A run may be stored a little after another that started later.
OVERLAP = timedelta(seconds=10)
RUNNING = ("RUNNING", "SCHEDULED")


@poll(every_s=3, service=gateway.SERVICE)
def sync_runs() -> None:
    """New experiments, new runs, and every run that was still going."""
    mlflow = gateway.connect()
    mirror.save_experiments(mlflow.experiments())
    going = set(MlflowRun.objects.filter(status__in=RUNNING, gone_at=None).values_list("run_id", flat=True))
    condition = _new_runs()
    new = list(mlflow.runs(_experiment_ids(), condition, None if condition else NEWEST))
    earlier = sorted(going - {run.run_id for run in new})[:NEWEST]
    refreshed = [run for run_id in earlier if (run := _run_or_gone(mlflow, run_id))]
    _publish(mirror.save_runs([*new, *refreshed]))


@poll(every_s=3, service=gateway.SERVICE)
def sync_versions() -> None:
    """Registered models with their alias, and versions not seen before."""
    mlflow = gateway.connect()
    changed = {model.name for model in mlflow.models() if mirror.save_model(model)}
    aliases.check(mlflow, changed)
    known = set(ModelVersion.objects.filter(gone_at=None).values_list("model__name", "version"))
    for version in mlflow.versions(NEWEST):
        if version.is_ready and (version.model, version.version) not in known:
            mirror.save_version(mlflow, version)
            changed.add(version.model)
    publish_models(changed)


@poll(every_s=600, service=gateway.SERVICE)
def walk_everything() -> None:
    """All runs and versions: late tags, and what MLflow has no more."""
    mlflow = gateway.connect()
    began_at = timezone.now()
    mirror.save_experiments(mlflow.experiments(), are_all=True)
    runs = list(mlflow.runs(_experiment_ids()))
    changed = mirror.save_runs(runs)
    versions = [(version.model, version.version) for version in _all_versions(mlflow)]
    names = _saved_models(mlflow)
    run_ids = {run.run_id for run in runs}
    lost = mirror.mark_gone(began_at, runs=run_ids, versions=set(versions), models=names)
    _publish(changed)
    publish_models(lost)
    aliases.check(mlflow, names)


def publish_models(names: set[str]) -> None:
    """Say that these models changed."""
    if names:
        live.publish("models", sorted(names))
    for name in sorted(names):
        live.publish(f"model:{name}")


def _saved_models(mlflow: gateway.MlflowGateway) -> set[str]:
    found = mlflow.models()
    for model in found:
        mirror.save_model(model)
    return {model.name for model in found}


def _all_versions(mlflow: gateway.MlflowGateway) -> list[gateway.VersionInfo]:
    found = [version for version in mlflow.versions() if version.is_ready]
    for version in found:
        mirror.save_version(mlflow, version)
    return found


def _experiment_ids() -> list[str]:
    return list(Experiment.objects.filter(gone_at=None).values_list("experiment_id", flat=True))


def _new_runs() -> str:
    newest = MlflowRun.objects.aggregate(at=Max("started_at"))["at"]
    if newest is None:
        return ""
    return f"attributes.start_time > {int((newest - OVERLAP).timestamp() * 1000)}"


def _run_or_gone(mlflow: gateway.MlflowGateway, run_id: str) -> gateway.RunInfo | None:
    try:
        return mlflow.run(run_id)
    except NotFound:
        MlflowRun.objects.filter(run_id=run_id).update(gone_at=timezone.now())
        return None


def _publish(run_ids: list[str]) -> None:
    if run_ids:
        live.publish("models", ["runs", *run_ids])
