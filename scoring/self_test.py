"""What a model must do before it serves: take its own reference rows, and score them as training did.

The gate runs this in its sandbox, serving when it loads a champion: what passes there serves here.
"""

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring import features, sampling
from scoring.alike import is_alike
from scoring.check import CheckError, RowDecoder
from scoring.score import Outcome, score_of
from scoring.spec import Spec

SAMPLE_ROWS = 500
TESTED_ROWS = 20
# Of those where something is missing, which are few in many references.
TESTED_GAPS = 20


class SelfTestError(Exception):
    """This model must not serve; the message says why."""


class Sample(NamedTuple):
    """Reference rows as checked inputs, and the scores stored with them.

    refused: why the spec refuses some of its own rows, which are left out; empty when it takes all.
    """

    inputs: list[dict[str, Any]]
    scores: list[float]
    refused: str = ""


def sample(parquet: bytes, spec: Spec) -> Sample:
    """Rows spread evenly over the reference. Raises SelfTestError."""
    names = [field.name for field in spec.fields]
    try:
        file = pq.ParquetFile(io.BytesIO(parquet))
        table = sampling.read(file, [*names, spec.score_column], most_rows=SAMPLE_ROWS)
        if not table.num_rows:
            raise SelfTestError("its reference has no rows")
        rows = [_plain(row) for row in table.select(names).to_pylist()]
        scores = [float(score) for score in table.column(spec.score_column).to_pylist()]
        return _taken(RowDecoder(spec), rows, scores)
    except sampling.TooLarge as error:
        raise SelfTestError(f"its reference {error}") from error
    except (pa.ArrowException, KeyError) as error:
        raise SelfTestError(f"its reference cannot be read: {error}") from error
    except (TypeError, ValueError) as error:
        raise SelfTestError(f"its reference has a score that is no number: {error}") from error


def _taken(decoder: RowDecoder, rows: list[dict[str, Any]], scores: list[float]) -> Sample:
    """Raises SelfTestError where the spec takes none."""
    try:
        return Sample(decoder.decode_rows(rows).inputs, scores)
    except CheckError as error:
        refused = f"its spec refuses a row of its own reference: {_first(error)}"
    found = Sample([], [], refused)
    for row, score in zip(rows, scores, strict=True):
        with contextlib.suppress(CheckError):
            found.inputs.extend(decoder.decode_rows([row]).inputs)
            found.scores.append(score)
    if not found.inputs:
        raise SelfTestError(refused)
    return found


def check(predict: Callable[[features.Columns], Outcome], spec: Spec, of: Sample) -> None:
    """Score some of them again. Raises SelfTestError, and what `predict` raises."""
    tested = _tested(of.inputs)
    found = score_of(predict(features.frame(spec, [of.inputs[index] for index in tested])))
    stored = np.asarray([of.scores[index] for index in tested])
    if not np.all(is_alike(spec, found, stored, among=of.scores)):
        worst = float(np.max(np.nan_to_num(np.abs(found - stored), nan=np.inf)))
        raise SelfTestError(f"it scores its own reference rows differently, by up to {worst:.4g}")


def _tested(inputs: list[dict[str, Any]]) -> list[int]:
    gaps = [index for index, row in enumerate(inputs) if None in row.values()]
    return sorted({*range(min(TESTED_ROWS, len(inputs))), *gaps[:TESTED_GAPS]})


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """NaN is missing."""
    return {name: None if value != value else value for name, value in row.items()}


def _first(error: CheckError) -> str:
    return str(error.errors[0]["message"]) if error.errors else error.message
