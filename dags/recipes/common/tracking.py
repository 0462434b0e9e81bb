"""Logging a trained model to MLflow and registering it, once per DAG run however often the task runs."""

import hashlib
import logging
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import skops.io
from mlflow.entities import RunInfo
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature

from dags.recipes.common.log import say
from scoring import features
from scoring.spec import Spec
from scoring.spec_reading import read_spec

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")

logging.getLogger("mlflow").setLevel(logging.WARNING)  # the task's log says what matters

REQUIREMENTS = ["scikit-learn", "pandas", "numpy", "skops"]
EXAMPLE_ROWS = 5
SHAP_FILE = "evaluation/shap.json"
SPEC_FILE, REFERENCE_FILE = "serving/spec.json", "serving/reference.parquet"


@dataclass(frozen=True)
class Origin:
    """Where a model comes from; all of it becomes tags of the MLflow run."""

    dag_id: str
    dag_run_id: str
    data_sha256: str
    data_source: str
    seed: int
    requested_by: str = ""

    def tags(self) -> dict[str, str]:
        tags = {
            "dag_id": self.dag_id,
            "dag_run_id": self.dag_run_id,
            "git_sha": git_sha(),
            "data_sha256": self.data_sha256,
            "data_source": self.data_source,
            "seed": str(self.seed),
        }
        return tags | ({"requested_by": self.requested_by} if self.requested_by else {})


@dataclass(frozen=True)
class Package:
    """Everything that is logged with one model. files: artefact path -> file on disk."""

    model: Any
    spec: Spec
    rows: pd.DataFrame
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    files: Mapping[str, Path]
    tags: Mapping[str, str] = field(default_factory=dict)
    tried: Sequence[Any] = ()  # what `name`, `params` and `metrics` tell of each becomes a run inside the run


@dataclass(frozen=True)
class Registered:
    name: str
    version: str
    run_id: str


def register(name: str, package: Package, origin: Origin) -> Registered:
    """Log `package` in experiment `name` and register it as the model `name`.

    A version that this DAG run registered before is returned as it is; a half-logged run is gone on with.
    """
    client = mlflow.MlflowClient()
    if (existing := registered_by(client, name, origin)) is not None:
        say(f"Version {existing.version} of {name} was registered by this run already.")
        return existing
    mlflow.set_experiment(name)
    tags = {**origin.tags(), **package.tags, **_holdout_tag(package)}
    with mlflow.start_run(run_id=_begun(client, name, origin), run_name=origin.dag_run_id, tags=tags) as run:
        mlflow.log_params(dict(package.params))
        mlflow.log_metrics(dict(package.metrics))
        for target, path in package.files.items():
            mlflow.log_artifact(str(path), str(Path(target).parent))
        _log_tried(client, run.info, package.tried)
        uri = _log_model(package)
    version: ModelVersion = mlflow.register_model(uri, name, tags=origin.tags())
    say(f"Registered {name} version {version.version} from MLflow run {run.info.run_id}.")
    return Registered(name, str(version.version), run.info.run_id)


def _holdout_tag(package: Package) -> dict[str, str]:
    """By this the gate tells whether the frozen hold-out is still the one that was logged."""
    holdout = package.files.get("evaluation/holdout.parquet")
    return {"holdout_sha256": hashlib.sha256(holdout.read_bytes()).hexdigest()} if holdout else {}


def _log_tried(client: mlflow.MlflowClient, parent: RunInfo, tried: Sequence[Any]) -> None:
    """Each once: those that an earlier try of this task logged stay."""
    of_parent = f"tags.mlflow.parentRunId = '{parent.run_id}'"
    there = {run.info.run_name for run in client.search_runs([parent.experiment_id], of_parent)}
    for one in tried:
        if one.name in there:
            continue
        with mlflow.start_run(run_name=one.name, nested=True):
            mlflow.log_params(dict(one.params))
            mlflow.log_metrics(dict(one.metrics))


def importance(name: str, version: int) -> dict[str, float]:
    """What moves the answers of a registered version; empty where it does not carry that."""
    client = mlflow.MlflowClient()
    try:
        run_id = client.get_model_version(name, str(version)).run_id
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}
    if not run_id or SHAP_FILE not in {file.path for file in client.list_artifacts(run_id, "evaluation")}:
        return {}
    told: dict[str, float] = mlflow.artifacts.load_dict(f"runs:/{run_id}/{SHAP_FILE}")
    return told


def learnt_from(name: str, version: int) -> tuple[Spec, pd.DataFrame]:
    """The spec of a registered version, and its frozen reference: training rows with `label` and `score`."""
    run_id = mlflow.MlflowClient().get_model_version(name, str(version)).run_id
    with tempfile.TemporaryDirectory() as folder:
        spec, reference = (
            Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{file}", dst_path=folder))
            for file in (SPEC_FILE, REFERENCE_FILE)
        )
        return read_spec(spec.read_bytes()), pd.read_parquet(reference)


def registered_by(client: mlflow.MlflowClient, name: str, origin: Origin) -> Registered | None:
    """The version that a DAG run registered, if it did; another DAG may have a run of the same id."""
    for version in client.search_model_versions(f"name='{name}'", max_results=1000):
        if _is_of(version.tags, origin):
            return Registered(name, str(version.version), str(version.run_id))
    return None


def git_sha() -> str:
    """The commit that runs: ATALAYA_GIT_SHA where there is no checkout, else git's, else "unknown"."""
    if told := os.environ.get("ATALAYA_GIT_SHA"):
        return told
    here = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip()


def _begun(client: mlflow.MlflowClient, name: str, origin: Origin) -> str | None:
    """The MLflow run that an earlier try of this task began."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    # A run's id may hold what no filter of MLflow's can quote; a DAG's cannot.
    runs = client.search_runs(
        [experiment.experiment_id], f"tags.dag_id = '{origin.dag_id}'", max_results=1000
    )
    return next((str(run.info.run_id) for run in runs if _is_of(run.data.tags, origin)), None)


def _is_of(tags: Mapping[str, str], origin: Origin) -> bool:
    return (tags.get("dag_id"), tags.get("dag_run_id")) == (origin.dag_id, origin.dag_run_id)


def _log_model(package: Package) -> str:
    """The model in the skops format, which the gate's sandbox reads; all its types are our own."""
    example = features.table(package.spec, package.rows.head(EXAMPLE_ROWS))
    info = mlflow.sklearn.log_model(
        package.model,
        name="model",
        signature=infer_signature(example, package.model.predict(example)),
        input_example=example,
        serialization_format="skops",
        skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(package.model)),
        pip_requirements=REQUIREMENTS,
    )
    return str(info.model_uri)
