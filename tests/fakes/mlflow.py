"""MLflow in memory, behind the methods of `models_registry.gateway.MlflowGateway`."""

import math
import operator
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from core.lib.aside import Unread
from core.lib.errors import InvalidRequest, NotFound, Unavailable
from core.lib.times import moment
from models_registry.gateway import MOST_POINTS, check_path
from models_registry.mlflow_types import (
    ExperimentInfo,
    FileInfo,
    History,
    ModelInfo,
    Point,
    RunInfo,
    VersionInfo,
)

CHUNK_BYTES = 64 * 1024


class FakeMlflow:
    """Keeps state; `is_away` makes every call fail as if nothing listened."""

    def __init__(self) -> None:
        self.is_away = False
        self.calls: list[str] = []
        self.files: dict[str, bytes] = {}
        self._experiments: dict[str, ExperimentInfo] = {}
        self._runs: dict[str, RunInfo] = {}
        self._points: dict[tuple[str, str], list[Point]] = {}
        self._models: dict[str, ModelInfo] = {}
        self._versions: list[VersionInfo] = []
        # Stand in lists beside the sound ones: what could not be read of an answer.
        self.unread: dict[str, list[Unread]] = {}
        self._start_times: dict[str, int] = {}

    # --- what a pipeline does

    def create_experiment(self, name: str) -> str:
        now = datetime.now(UTC)
        id_ = str(len(self._experiments) + 1)
        self._experiments[id_] = ExperimentInfo(id_, name, now, now)
        return id_

    def create_run(
        self,
        experiment_id: str,
        name: str,
        tags: dict[str, str] | None = None,
        start_time: int | None = None,
    ) -> str:
        """start_time: what the client says, which MLflow takes for milliseconds and keeps whatever it is."""
        id_ = f"{len(self._runs) + 1:032x}"
        self._start_times[id_] = int(time.time() * 1000) if start_time is None else start_time
        root = f"mlflow-artifacts:/{experiment_id}/{id_}/artifacts"
        self._runs[id_] = RunInfo(
            run_id=id_,
            experiment_id=experiment_id,
            name=name,
            status="RUNNING",
            user="ana",
            started_at=moment(self._start_times[id_]),
            ended_at=None,
            artifact_uri=root,
            is_deleted=False,
            params={},
            metrics={},
            tags=dict(tags or {}),
        )
        return id_

    def log_param(self, run_id: str, key: str, value: str) -> None:
        run = self._runs[run_id]
        self._runs[run_id] = replace(run, params={**run.params, key: value})

    def log_metric(self, run_id: str, key: str, value: float, step: int = 0) -> None:
        run = self._runs[run_id]
        shown = "NaN" if value != value else value
        self._runs[run_id] = replace(run, metrics={**run.metrics, key: shown})
        self._points.setdefault((run_id, key), []).append(Point(step, value, datetime.now(UTC)))

    def log_steps(self, run_id: str, key: str, n: int) -> None:
        """One value for each of n steps."""
        for step in range(n):
            self.log_metric(run_id, key, 1 / (step + 1), step)

    def end_run(self, run_id: str) -> None:
        self._runs[run_id] = replace(self._runs[run_id], status="FINISHED", ended_at=datetime.now(UTC))

    def delete_run(self, run_id: str) -> None:
        self._runs[run_id] = replace(self._runs[run_id], is_deleted=True)

    def register(self, model: str, run_id: str) -> int:
        now = datetime.now(UTC)
        self._models.setdefault(model, ModelInfo(model, "", now, None))
        number = 1 + sum(version.model == model for version in self._versions)
        source = f"{self._runs[run_id].artifact_uri}/model" if run_id else ""
        self._versions.append(VersionInfo(model, number, run_id, source, "", "ana", now, True, {}))
        return number

    def delete_model(self, model: str) -> None:
        """With its versions, whose numbers are given again."""
        del self._models[model]
        self._versions = [version for version in self._versions if version.model != model]

    # --- the gateway's methods

    def experiments(self) -> list[ExperimentInfo]:
        self._answer("experiments")
        return [*self._experiments.values(), *self.unread.get("experiments", [])]

    def runs(
        self, experiment_ids: list[str], condition: str = "", most: int | None = None
    ) -> Iterator[RunInfo]:
        self._answer("runs")
        found = [
            run
            for run in sorted(self._runs.values(), key=lambda run: -self._start_times[run.run_id])
            if run.experiment_id in experiment_ids
            and not run.is_deleted
            and _meets(self._start_times[run.run_id], condition)
        ]
        yield from [*self.unread.get("runs", []), *found][:most]

    def run(self, run_id: str) -> RunInfo:
        self._answer("run")
        return self._found(self._runs, run_id)

    def metric_history(self, run_id: str, key: str) -> History:
        self._answer("metric_history")
        self._found(self._runs, run_id)
        points = self._points.get((run_id, key), [])
        last = len(points) - 1
        if last < MOST_POINTS:
            return _history(points)
        places = [round(place * last / (MOST_POINTS - 1)) for place in range(MOST_POINTS)]
        return _history([points[place] for place in places], is_sample=True)

    def models(self) -> list[ModelInfo]:
        self._answer("models")
        return [*self._models.values(), *self.unread.get("models", [])]

    def model(self, name: str) -> ModelInfo:
        self._answer("model")
        return self._found(self._models, name)

    def versions(self, most: int | None = None) -> Iterator[VersionInfo]:
        self._answer("versions")
        yield from [*self.unread.get("versions", []), *reversed(self._versions)][:most]

    def version(self, model: str, version: int) -> VersionInfo:
        self._answer("version")
        for found in self._versions:
            if (found.model, found.version) == (model, version):
                return found
        raise NotFound(f"MLflow: Model Version (name={model}, version={version}) not found", service="mlflow")

    def set_champion(self, model: str, version: int) -> None:
        self._answer("set_champion")
        self.version(model, version)
        self._models[model] = replace(self._models[model], champion=version)

    def remove_champion(self, model: str) -> None:
        self._answer("remove_champion")
        if model in self._models:
            self._models[model] = replace(self._models[model], champion=None)

    def run_root(self, run_id: str) -> str:
        return self.run(run_id).artifact_uri

    def model_root(self, model: str, version: int) -> str:
        return self.version(model, version).source

    def list_files(self, root: str, folder: str = "") -> list[FileInfo]:
        self._answer("list_files")
        start = f"{_key(root, folder)}/"
        found: dict[str, FileInfo] = {}
        for key, content in self.files.items():
            if key.startswith(start):
                name, slash, _rest = key.removeprefix(start).partition("/")
                path = f"{folder}/{name}".strip("/")
                found[path] = FileInfo(path, bool(slash), None if slash else len(content))
        return sorted(found.values(), key=operator.attrgetter("place"))

    def chunks(self, root: str, path: str, *, limit_bytes: int, until: float = math.inf) -> Iterator[bytes]:
        content = self.read_file(root, path, limit_bytes=limit_bytes)
        yield from (content[start : start + CHUNK_BYTES] for start in range(0, len(content), CHUNK_BYTES))

    def read_file(self, root: str, path: str, *, limit_bytes: int) -> bytes:
        self._answer("read_file")
        content: bytes = self._found(self.files, _key(root, path))
        if len(content) > limit_bytes:
            raise InvalidRequest(f"{path} is larger than the limit here.", service="mlflow")
        return content

    def download_file(
        self, root: str, path: str, target: Path, *, limit_bytes: int, until: float = math.inf
    ) -> int:
        content = self.read_file(root, path, limit_bytes=limit_bytes)
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.write_bytes(content)

    def download_folder(self, root: str, target: Path, *, limit_bytes: int, until: float = math.inf) -> int:
        self._answer("download_folder")
        start = f"{_key(root, '')}/"
        paths = [key.removeprefix(start) for key in self.files if key.startswith(start)]
        if not paths:
            raise NotFound("MLflow has no files there.", service="mlflow")
        n_bytes = 0
        for path in paths:
            left = limit_bytes - n_bytes
            n_bytes += self.download_file(root, path, target / path, limit_bytes=left)
        return n_bytes

    def write_file(self, root: str, path: str, content: bytes) -> None:
        self._answer("write_file")
        self.files[_key(root, path)] = content

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if self.is_away:
            raise Unavailable("MLflow is not answering. Try again in a moment.", service="mlflow")

    def _found(self, rows: dict, key: str):
        if key not in rows:
            raise NotFound(f"MLflow: {key} not found", service="mlflow")
        return rows[key]


def _meets(start_time: int, condition: str) -> bool:
    """Whether it meets all of `attributes.start_time <= 5 and …`."""
    holds = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    parts = [part.split() for part in condition.split(" and ") if part]
    return all(holds[sign](start_time, int(bound)) for _attribute, sign, bound in parts)


def _key(root: str, path: str) -> str:
    return f"{urlsplit(root).path.strip('/')}/{check_path(path)}".rstrip("/")


def _history(logged: Sequence[Point], *, is_sample: bool = False) -> History:
    finite = [point for point in logged if math.isfinite(point.value)]
    return History(finite, is_sample, len(logged) - len(finite))
