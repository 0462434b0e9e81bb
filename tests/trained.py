"""Versions as a training pipeline leaves them in MLflow, from small fitted models."""

import hashlib
import io
from pathlib import Path
from typing import Any

import pandas as pd

from scoring import features
from scoring.originals import Original
from scoring.score import score_of
from scoring.spec import Spec
from tests.unit.scoring import fitted


def publish(
    mlflow: Any,
    folder: Path,
    spec: Spec,
    rows: pd.DataFrame,
    model: Any,
    *,
    name: str = "titanic",
    **tags: str,
) -> int:
    """Log everything the gate needs to a fresh run of a fake MLflow and register it; the version's number."""
    cut = len(rows) * 3 // 4
    scores = score_of(Original(model, spec).predict(features.frame(spec, rows[:cut])))
    holdout = parquet(rows[cut:])
    tags = {"holdout_sha256": hashlib.sha256(holdout).hexdigest(), **tags}
    run_id = mlflow.create_run(mlflow.create_experiment(name), "training", tags)
    root = mlflow.run_root(run_id)
    fitted.save(folder / run_id, model)
    for path in (folder / run_id).iterdir():
        mlflow.write_file(root, f"model/{path.name}", path.read_bytes())
    mlflow.write_file(root, "serving/spec.json", spec.to_json())
    mlflow.write_file(root, "serving/reference.parquet", parquet(rows[:cut].assign(score=scores)))
    mlflow.write_file(root, "evaluation/holdout.parquet", holdout)
    return mlflow.register(name, run_id)


def parquet(rows: pd.DataFrame) -> bytes:
    """The rows as a file's bytes."""
    buffer = io.BytesIO()
    rows.to_parquet(buffer)
    return buffer.getvalue()
