"""What the gateway hands out: experiments, runs, models, versions and files as MLflow knows them."""

import json
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from django.utils.translation import gettext as _

from core.lib.aside import name_in
from core.lib.errors import InvalidRequest
from core.lib.times import moment

ALIAS = "champion"
LONGEST_TAG = 8000  # as MLflow's own tracking store


def pairs(entries: list[dict[str, Any]] | None) -> dict[str, Any]:
    """MLflow's lists of {"key", "value"} as a mapping."""
    return {entry["key"]: entry.get("value") for entry in entries or []}


def number(value: Any) -> Any:
    """Text for an infinity, as MLflow's JSON has it: its SQL store sends the largest or the least number."""
    infinities = {sys.float_info.max: "Infinity", -sys.float_info.max: "-Infinity"}
    return infinities.get(value, value) if isinstance(value, float) else value


# --- what each thing is called, in an answer of MLflow's


def experiment_key(data: Any) -> str:
    return str(data["experiment_id"])


def run_key(data: Any) -> str:
    return str(data["info"]["run_id"])


def model_key(data: Any) -> str:
    return str(data["name"])


def version_key(data: Any) -> str:
    return f"{data['name']} v{data['version']}"


def _model_name(data: dict[str, Any]) -> str:
    """Raises InvalidRequest for a name that no address can carry, as MLflow let models have of old."""
    name = name_in(data, "name")
    if "/" in name or name in {".", ".."}:
        raise InvalidRequest(_("No address can carry this name. Rename the model in MLflow: without “/”."))
    return name


@dataclass(frozen=True)
class ExperimentInfo:
    experiment_id: str
    name: str
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def from_answer(cls, data: dict[str, Any]) -> Self:
        return cls(
            name_in(data, "experiment_id"),
            name_in(data, "name"),
            moment(data.get("creation_time")),
            moment(data.get("last_update_time")),
        )

    @property
    def key(self) -> str:
        """What it is called among all."""
        return self.experiment_id


@dataclass(frozen=True)
class RunInfo:
    """A run with its latest metrics; one that is no finite number is text."""

    run_id: str
    experiment_id: str
    name: str
    status: str
    user: str
    started_at: datetime | None
    ended_at: datetime | None
    artifact_uri: str
    is_deleted: bool
    params: dict[str, str]
    metrics: dict[str, float | str]
    tags: dict[str, str]

    @classmethod
    def from_answer(cls, run: dict[str, Any]) -> Self:
        info, data = run["info"], run.get("data") or {}
        tags = {key: str(value)[:LONGEST_TAG] for key, value in pairs(data.get("tags")).items()}
        return cls(
            run_id=name_in(info, "run_id"),
            experiment_id=name_in(info, "experiment_id"),
            name=info.get("run_name") or "",
            status=info.get("status") or "",
            user=info.get("user_id") or "",
            started_at=moment(info.get("start_time")),
            ended_at=moment(info.get("end_time")),
            artifact_uri=info.get("artifact_uri") or "",
            is_deleted=info.get("lifecycle_stage") == "deleted",
            params=pairs(data.get("params")),
            metrics={key: number(value) for key, value in pairs(data.get("metrics")).items()},
            tags=tags,
        )

    @property
    def key(self) -> str:
        """What it is called among all."""
        return self.run_id


@dataclass(frozen=True)
class ModelInfo:
    """A registered model; `champion` is the version that its alias of this name points to."""

    name: str
    description: str
    created_at: datetime | None
    champion: int | None

    @classmethod
    def from_answer(cls, data: dict[str, Any]) -> Self:
        aliases = {entry["alias"]: int(entry["version"]) for entry in data.get("aliases") or []}
        created_at = moment(data.get("creation_timestamp"))
        return cls(_model_name(data), data.get("description") or "", created_at, aliases.get(ALIAS))

    @property
    def key(self) -> str:
        """What it is called among all."""
        return self.name


@dataclass(frozen=True)
class VersionInfo:
    model: str
    version: int
    run_id: str
    source: str
    description: str
    user: str
    created_at: datetime | None
    is_ready: bool
    tags: dict[str, str]

    @classmethod
    def from_answer(cls, data: dict[str, Any]) -> Self:
        return cls(
            model=_model_name(data),
            version=int(data["version"]),
            run_id=data.get("run_id") or "",
            source=data.get("source") or "",
            description=data.get("description") or "",
            user=data.get("user_id") or "",
            created_at=moment(data.get("creation_timestamp")),
            is_ready=data.get("status", "READY") == "READY",
            tags=pairs(data.get("tags")),
        )

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"{self.model} v{self.version}"


class Point(NamedTuple):
    """One value of a metric's history."""

    step: int
    value: float
    at: datetime | None

    @classmethod
    def from_answer(cls, data: dict[str, Any]) -> Self:
        return cls(int(data.get("step", 0)), float(data.get("value", 0.0)), moment(data.get("timestamp")))


class History(NamedTuple):
    """Values of a metric, first to last. is_sample: there are more, these lie evenly among them.

    n_not_finite: how many others are no numbers that can be drawn, NaN or infinity.
    """

    points: list[Point]
    is_sample: bool = False
    n_not_finite: int = 0


class FileInfo(NamedTuple):
    """A file or folder among artefacts; `path` from their root, `size_bytes` None for a folder."""

    path: str
    is_dir: bool
    size_bytes: int | None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def place(self) -> list[Any]:
        """In a listing: folders first, by name."""
        return [not self.is_dir, self.path]


def error_code(text: str) -> str:
    """MLflow's own name of the error; nothing where the answer is not MLflow's."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return str(answer.get("error_code", "")) if isinstance(answer, dict) else ""


def error_message(text: str) -> str:
    """The sentence in MLflow's error, which is JSON when all is as it should be."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return text[:300]
    return (
        str(answer.get("message") or answer.get("detail") or text[:300]) if isinstance(answer, dict) else ""
    )
