"""Summing up `serving/reference.parquet`: what later windows are compared with, some dozen KiB of JSON.

Missing values are counted and left out, never replaced: nothing of a window can leak into an imputation.
Derived columns are left out too: they follow from the fields, and would count each shift twice.
"""

import io
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring import sampling
from scoring.alike import PROBABILITY_DIGITS, PROBABILITY_TOLERANCE, RELATIVE_TOLERANCE, Scale
from scoring.drift import held_out
from scoring.drift.shapes import Column, Reference, Value
from scoring.language import Field
from scoring.spec import Spec
from scoring.words import plain, told_apart

MOST_ROWS = 20_000
# Up to so many different numbers are compared as categories: the test for continuous ones is blunt with ties.
MOST_DISCRETE = 20
MOST_POINTS = 1_000
MOST_VALUES = 200
N_BUCKETS = 20
LONGEST_LABEL = 60
N_PSI_BINS, N_BINS = 10, 12


class ReferenceUnusable(ValueError):
    """Windows cannot be compared with this file; the message says why."""


def read(parquet: bytes, spec: Spec) -> Reference:
    """At most 20,000 rows, evenly over the file, and the scores of `held_out` where there are such.

    Raises ReferenceUnusable.
    """
    names = [field.name for field in spec.fields]
    try:
        file = pq.ParquetFile(io.BytesIO(parquet))
        table = sampling.read(file, [*names, spec.score_column], most_rows=MOST_ROWS)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        unseen = held_out.scores(file)
    except pa.ArrowException as error:
        raise ReferenceUnusable(f"serving/reference.parquet cannot be read: {error}") from error
    except ValueError as error:
        raise ReferenceUnusable(f"serving/reference.parquet {error}") from error
    if lost := [name for name in (*names, spec.score_column) if name not in columns]:
        raise ReferenceUnusable(f"serving/reference.parquet lacks {', '.join(lost)}")
    if unseen is not None:
        columns[spec.score_column] = unseen
    return summary(spec, columns, table.num_rows)


def summary(spec: Spec, columns: dict[str, list[Any]], n_rows: int) -> Reference:
    """columns: the raw fields and the score, by name. Raises ReferenceUnusable when there are no rows."""
    if not n_rows:
        raise ReferenceUnusable("serving/reference.parquet has no rows")
    found = [_field(field, columns[field.name]) for field in spec.fields]
    classes = spec.class_values
    score = _score(spec, numbers(columns[spec.score_column]))
    return Reference(n_rows, [*found, score], str(classes[1]) if len(classes) == 2 else "")


def _score(spec: Spec, values: np.ndarray) -> Column:
    """values: as the original gave them to training; what serves answers with float32, and rounds shares."""
    if spec.class_values:
        values, tolerance = numbers(values.round(PROBABILITY_DIGITS)), PROBABILITY_TOLERANCE
    else:
        scale = Scale.of(values)
        tolerance = RELATIVE_TOLERANCE * float(scale.at(np.asarray([scale.largest]))[0])
    column = _number(spec.score_column, "score", values)
    column.is_score, column.tolerance = True, tolerance
    return column


def _field(field: Field, values: Sequence[Any]) -> Column:
    if field.is_text or field.type == "boolean" or field.choices is not None:
        return _category(field, values)
    column = _number(field.name, field.title, numbers(values))
    if field.seen is not None:
        column.seen = field.seen
        column.n_out_of_range = n_outside(numbers(values), field.seen)
    return column


def _category(field: Field, values: Sequence[Any]) -> Column:
    present = categories(values)
    counted = Counter(present).most_common()
    commonest, rest = counted[:MOST_VALUES], counted[MOST_VALUES:]
    known = [value for value, _n in commonest]
    return Column(
        name=field.name,
        title=field.title,
        kind="category",
        n_missing=len(values) - len(present),
        values=known,
        counts=[n for _value, n in commonest],
        labels=_labels(field, known),
        rest=in_buckets(rest) if rest else [],
    )


def _labels(field: Field, values: Sequence[Value]) -> list[str]:
    """The spec's words; free text about a person is numbered instead of shown."""
    words = {choice.value: choice.text for choice in field.choices.values} if field.choices else {}
    if field.personal and not words:
        return [f"#{place}" for place, _value in enumerate(values, 1)]
    return [words.get(value, _shown(value))[:LONGEST_LABEL] for value in values]  # type: ignore[arg-type]


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return plain(value) if isinstance(value, float) else str(value)


def _number(name: str, title: str, values: np.ndarray) -> Column:
    """values: NaN is missing."""
    present = np.sort(values[~np.isnan(values)])
    distinct, counts = np.unique(present, return_counts=True)
    column = Column(
        name, title, "discrete", int(len(values) - len(present)), distinct.tolist(), counts.tolist()
    )
    if len(distinct) <= MOST_DISCRETE:
        column.labels = told_apart(distinct.tolist(), at_least=6)
        return column
    if len(distinct) > MOST_POINTS:
        parts = np.array_split(present, MOST_POINTS)
        column.values = [float(np.median(part)) for part in parts]
        column.counts = [len(part) for part in parts]
    column.kind = "number"
    column.spread = float(np.std(present))
    column.psi_edges = _distinct(np.quantile(present, np.linspace(0, 1, N_PSI_BINS + 1)[1:-1]))
    low, high = np.quantile(present, [0.01, 0.99])
    column.edges = _distinct(np.linspace(low, high, N_BINS - 1)) if high > low else column.psi_edges
    return column


def _distinct(edges: np.ndarray) -> list[float]:
    return np.unique(edges).tolist()


# --- values as both the reference and a window take them


def numbers(values: Iterable[Any]) -> np.ndarray:
    """As a model takes them, in float32. NaN for what is missing or no finite number there."""
    with np.errstate(over="ignore"):
        found = np.asarray([_float(value) for value in values], dtype=np.float64).astype(np.float32)
    return np.where(np.isfinite(found), found, np.nan).astype(np.float64)


def _float(value: Any) -> float:
    if not isinstance(value, bool | int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # JSON has whole numbers of any length
        return math.nan


def nearest(values: np.ndarray, known: Sequence[float], tolerance: float) -> np.ndarray:
    """Each value that lies within the tolerance of a known one as that one. known: rising, or empty."""
    if not tolerance or not known:
        return values
    places = np.asarray(known, dtype=np.float64)
    above = np.clip(np.searchsorted(places, values), 0, len(places) - 1)
    below = np.maximum(above - 1, 0)
    closest = np.where(values - places[below] < places[above] - values, places[below], places[above])
    return np.where(np.abs(closest - values) <= tolerance, closest, values)


def categories(values: Iterable[Any]) -> list[Value]:
    """Those that are there; null, NaN and empty text are missing. A list or object counts as its text."""
    return [_plain(value) for value in values if value is not None and value == value and value != ""]


def _plain(value: Any) -> Value:
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    text = value if isinstance(value, str) else str(value)[:LONGEST_LABEL]
    # As recorded predictions have it: PostgreSQL holds neither NUL nor halves of surrogate pairs.
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def in_buckets(counted: Iterable[tuple[Value, int]]) -> list[int]:
    """Rows by a number made from the value alone: a rare one that spreads shows in its bucket."""
    rows = [0] * N_BUCKETS
    for value, n in counted:
        # Python's own for text is another one in each process; of 1, 1.0 and True it is the same.
        rows[(zlib.crc32(value.encode()) if isinstance(value, str) else hash(value)) % N_BUCKETS] += n
    return rows


def score_of(value: Any, probabilities: Mapping[str, float] | None, second_class: str) -> Any:
    """As training does: of two classes the second's probability, of more the winner's, else the value."""
    if not probabilities:
        return value
    return probabilities.get(second_class) if second_class else max(probabilities.values())


def n_outside(values: np.ndarray, seen: tuple[float, float]) -> int:
    """How many of these `numbers` lie beyond the range; missing ones do not."""
    low, high = numbers(seen)
    return int(np.sum((values < low) | (values > high)))
