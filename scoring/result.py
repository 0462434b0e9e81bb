"""What `compile` is asked and what it answers: the files job.json and result.json of one job's folder."""

from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from scoring.convert import Parity
from scoring.score import Outcome

MAX_RESULT_BYTES = 256 * 1024**2  # the sandbox wrote it: it may be anything


class ChampionFiles(Struct, frozen=True):
    """The champion as it is served: its compiled form, or its original where that is served by the runner."""

    spec: str
    onnx: str | None = None
    model: str | None = None


class Job(Struct, frozen=True):
    """What to compile; paths are relative to its folder. champion_error: why the champion's are not there."""

    model: str = "model"
    spec: str = "spec.json"
    reference: str = "reference.parquet"
    holdout: str = "holdout.parquet"
    champion: ChampionFiles | None = None
    champion_error: str = ""


class Evaluation(Struct, frozen=True):
    """One model on the hold-out, row by row and summed up. None is what JSON has for NaN and infinity."""

    values: list[Any]
    probabilities: list[list[float | None]] | None
    metrics: dict[str, float]
    slices: dict[str, dict[str, dict[str, float]]]

    def outcome(self) -> Outcome:
        shares = None if self.probabilities is None else np.asarray(self.probabilities, np.float64)
        return Outcome(np.asarray(self.values), shares)


class Result(Struct, frozen=True):
    """reason: why it is served as it is. parity: None when there was nothing to compare.

    self_test: why serving would refuse it; empty when it would not. missing_as: what the original takes for
    missing text, by column, where that is not "".
    """

    serve_as: Literal["onnx", "runner"]
    reason: str
    sha256: str
    parity: Parity | None
    holdout_rows: int
    holdout_sha256: str
    truth: list[Any]
    slices: dict[str, list[str]]
    candidate: Evaluation
    baseline: Evaluation
    champion: Evaluation | None
    champion_error: str
    latency_p50_ms: float
    latency_p99_ms: float
    library_versions: dict[str, str]
    self_test: str = ""
    missing_as: dict[str, str] = {}


def read_result(job_dir: Path | str) -> Result:
    """Raises FileNotFoundError, msgspec.ValidationError. What is cut off at the limit is no JSON any more."""
    with (Path(job_dir) / "result.json").open("rb") as file:
        return msgspec.json.decode(file.read(MAX_RESULT_BYTES), type=Result)
