"""A real MLflow with the console's gateway and, beside it, what a training pipeline does there."""

import time
from typing import Any

from models_registry.gateway import API, MlflowGateway


class RealMlflow(MlflowGateway):
    """The same methods as `tests.fakes.mlflow.FakeMlflow`, against a server."""

    def create_experiment(self, name: str) -> str:
        found = [experiment for experiment in self.experiments() if experiment.name == name]
        return (
            found[0].experiment_id if found else self._post("/experiments/create", name=name)["experiment_id"]
        )

    def create_run(
        self,
        experiment_id: str,
        name: str,
        tags: dict[str, str] | None = None,
        start_time: int | None = None,
    ) -> str:
        pairs = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        run = self._post(
            "/runs/create",
            experiment_id=experiment_id,
            run_name=name,
            start_time=int(time.time() * 1000) if start_time is None else start_time,
            user_id="ana",
            tags=pairs,
        )
        return run["run"]["info"]["run_id"]

    def log_param(self, run_id: str, key: str, value: str) -> None:
        self._post("/runs/log-parameter", run_id=run_id, key=key, value=value)

    def log_metric(self, run_id: str, key: str, value: float, step: int = 0) -> None:
        shown: Any = "NaN" if value != value else value
        now_ms = int(time.time() * 1000)
        self._post("/runs/log-metric", run_id=run_id, key=key, value=shown, step=step, timestamp=now_ms)

    def log_steps(self, run_id: str, key: str, n: int) -> None:
        now_ms = int(time.time() * 1000)
        for first in range(0, n, 1000):
            steps = range(first, min(first + 1000, n))
            metrics = [
                {"key": key, "value": 1 / (step + 1), "timestamp": now_ms + step, "step": step}
                for step in steps
            ]
            self._post("/runs/log-batch", run_id=run_id, metrics=metrics)

    def end_run(self, run_id: str) -> None:
        self._post("/runs/update", run_id=run_id, status="FINISHED", end_time=int(time.time() * 1000))

    def delete_run(self, run_id: str) -> None:
        self._post("/runs/delete", run_id=run_id)

    def register(self, model: str, run_id: str) -> int:
        if model not in {found.name for found in self.models()}:
            self._post("/registered-models/create", name=model)
        source = f"{self.run_root(run_id)}/model"
        made = self._post("/model-versions/create", name=model, source=source, run_id=run_id)
        return int(made["model_version"]["version"])

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return self._data("POST", API + path, json=body)
