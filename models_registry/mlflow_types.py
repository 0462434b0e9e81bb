"""What the gateway hands out: experiments, runs, models, versions and files as MLflow knows them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

ALIAS = "champion"
LONGEST_TAG = 2000


def moment(milliseconds: int | str | None) -> datetime | None:
    """MLflow's time, milliseconds since 1970, as an aware datetime."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None


def pairs(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """MLflow's lists of {"key", "value"} as a mapping."""
    return {entry["key"]: entry.get("value") for entry in entries}


@dataclass(frozen=True)
class ExperimentInfo:
    experiment_id: str
    name: str
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def from_answer(cls, data: dict[str, Any]) -> Self:
        return cls(
            data["experiment_id"],
            data["name"],
            moment(data.get("creation_time")),
            moment(data.get("last_update_time")),
        )


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
        info, data = run["info"], run.get("data", {})
        tags = {key: str(value)[:LONGEST_TAG] for key, value in pairs(data.get("tags", [])).items()}
        return cls(
            run_id=info["run_id"],
            experiment_id=info["experiment_id"],
            name=info.get("run_name", ""),
            status=info.get("status", ""),
            user=info.get("user_id", ""),
            started_at=moment(info.get("start_time")),
            ended_at=moment(info.get("end_time")),
            artifact_uri=info.get("artifact_uri", ""),
            is_deleted=info.get("lifecycle_stage") == "deleted",
            params=pairs(data.get("params", [])),
            metrics=pairs(data.get("metrics", [])),
            tags=tags,
        )


@dataclass(frozen=True)
class ModelInfo:
    """A registered model; `champion` is the version that its alias of this name points to."""

    name: str
    description: str
    created_at: datetime | None
    champion: int | None

    @classmethod
    def from_answer(cls, data: dict[str, Any]) -> Self:
        aliases = {entry["alias"]: int(entry["version"]) for entry in data.get("aliases", [])}
        created_at = moment(data.get("creation_timestamp"))
        return cls(data["name"], data.get("description", ""), created_at, aliases.get(ALIAS))


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
            model=data["name"],
            version=int(data["version"]),
            run_id=data.get("run_id", ""),
            source=data.get("source", ""),
            description=data.get("description", ""),
            user=data.get("user_id", ""),
            created_at=moment(data.get("creation_timestamp")),
            is_ready=data.get("status", "READY") == "READY",
            tags=pairs(data.get("tags", [])),
        )


class Point(NamedTuple):
    """One value of a metric's history."""

    step: int
    value: float
    at: datetime | None

    @classmethod
    def from_answer(cls, data: dict[str, Any]) -> Self:
        return cls(int(data.get("step", 0)), float(data.get("value", 0.0)), moment(data.get("timestamp")))


class History(NamedTuple):
    """Values of a metric, first to last. is_sample: there are more, these lie evenly among them."""

    points: list[Point]
    is_sample: bool = False


class FileInfo(NamedTuple):
    """A file or folder among artefacts; `path` from their root, `size_bytes` None for a folder."""

    path: str
    is_dir: bool
    size_bytes: int | None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def error_message(text: str) -> str:
    """The sentence in MLflow's error, which is JSON when all is as it should be."""
    try:
        answer = json.loads(text)
    except ValueError:
        return text[:300]
    return (
        str(answer.get("message") or answer.get("detail") or text[:300]) if isinstance(answer, dict) else ""
    )
