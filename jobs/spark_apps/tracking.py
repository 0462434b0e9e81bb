"""What an application notes in MLflow about a model that it fitted. Its table stays when MLflow is away."""

import logging
import os
from collections.abc import Mapping
from typing import Any

PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
LONGEST_ERROR = 300

log = logging.getLogger(__name__)


def note_run(
    access: Mapping[str, str],
    *,
    experiment: str,
    job_id: str,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    files: Mapping[str, Any],
) -> dict[str, str]:
    """Log one run: `mlflow_run_id`, or else `mlflow_error` in words, for the job's result.

    access: the variables that MLflow's client reads. files: by name, what is written as JSON.
    """
    os.environ |= PATIENCE | dict(access)
    import mlflow

    try:
        mlflow.set_experiment(experiment)
        with mlflow.start_run(run_name=job_id, tags={"spark_job_id": job_id}) as run:
            mlflow.log_params(dict(params))
            mlflow.log_metrics(dict(metrics))
            for name, content in files.items():
                mlflow.log_dict(content, name)
    except Exception as error:  # noqa: BLE001  each kind of artefact store has its own; the table is written
        log.warning("MLflow did not take the run: %s", error)
        return {"mlflow_error": f"MLflow did not take the run: {error}"[:LONGEST_ERROR]}
    return {"mlflow_run_id": run.info.run_id}
