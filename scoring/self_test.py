"""What a model must do before it serves: take its own reference rows, and score them as training did.

The gate runs this in its sandbox, serving when it loads a champion: what passes there serves here.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring import features
from scoring.alike import is_alike
from scoring.check import CheckError, RowDecoder
from scoring.score import Outcome, score_of
from scoring.spec import Spec

SAMPLE_ROWS = 500
READ_ROWS = 20_000  # at once
MOST_BYTES = 512 * 2**20
TESTED_ROWS = 20
# Of those where something is missing, which are few in many references.
TESTED_GAPS = 20


class SelfTestError(Exception):
    """This model must not serve; the message says why."""


class Sample(NamedTuple):
    """Reference rows as checked inputs, and the scores stored with them."""

    inputs: list[dict[str, Any]]
    scores: list[float]


def sample(parquet: bytes, spec: Spec) -> Sample:
    """Rows spread evenly over the reference. Raises SelfTestError."""
    names = [field.name for field in spec.fields]
    try:
        table = _spread(pq.ParquetFile(io.BytesIO(parquet)), [*names, spec.score_column])
        rows = [_plain(row) for row in table.select(names).to_pylist()]
        scores = [float(score) for score in table.column(spec.score_column).to_pylist()]
        inputs = RowDecoder(spec).decode_rows(rows).inputs
    except (pa.ArrowException, KeyError) as error:
        raise SelfTestError(f"its reference cannot be read: {error}") from error
    except CheckError as error:
        raise SelfTestError(f"its spec refuses a row of its own reference: {_first(error)}") from error
    except (TypeError, ValueError) as error:
        raise SelfTestError(f"its reference has a score that is no number: {error}") from error
    return Sample(inputs, scores)


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


def _spread(file: pq.ParquetFile, names: list[str]) -> pa.Table:
    """Piece by piece: whoever trained the model decides how large the file is."""
    if _largest_group_bytes(file, names) > MOST_BYTES:
        raise SelfTestError(f"its reference holds more than {MOST_BYTES // 2**20} MiB in one row group")
    step = max(1, file.metadata.num_rows // SAMPLE_ROWS)
    pieces, n_before, n_taken = [], 0, 0
    for batch in file.iter_batches(batch_size=READ_ROWS, columns=names):
        places = list(range(-n_before % step, batch.num_rows, step))[: SAMPLE_ROWS - n_taken]
        pieces.append(batch.take(pa.array(places, pa.int64())))
        n_before, n_taken = n_before + batch.num_rows, n_taken + len(places)
        if n_taken >= SAMPLE_ROWS:
            break
    if not n_taken:
        raise SelfTestError("its reference has no rows")
    return pa.Table.from_batches(pieces)


def _largest_group_bytes(file: pq.ParquetFile, names: list[str]) -> int:
    """Of these columns, uncompressed, as the file says: no more of it is in memory at once."""
    others = set(file.schema_arrow.names) - set(names)  # parts of nested columns have other names, and count
    groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
    columns = [[group.column(n) for n in range(group.num_columns)] for group in groups]
    return max(
        (sum(c.total_uncompressed_size for c in of if c.path_in_schema not in others) for of in columns),
        default=0,
    )


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """NaN is missing."""
    return {name: None if value != value else value for name, value in row.items()}


def _first(error: CheckError) -> str:
    return str(error.errors[0]["message"]) if error.errors else error.message
