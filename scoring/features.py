"""From raw fields to the model's input columns: the same arithmetic for training, for one row and for a file.

Derived columns are worked out in float64 from the raw values and rounded once to float32, so that a row gives
the same bits alone and in a table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scoring.check import Rows
from scoring.expressions import compile_expression
from scoring.spec import Spec

if TYPE_CHECKING:  # a process that only serves does without it
    import pandas as pd

Columns = dict[str, np.ndarray]
# checked rows, dicts, or a table: a mapping of columns or a DataFrame
RawRows = Rows | Sequence[Mapping[str, Any]] | Mapping[str, Any] | Any


class Featurizer:
    """Makes the input columns of one spec; compiled once when the model is loaded."""

    def __init__(self, spec: Spec) -> None:
        names = [field.name for field in spec.fields]
        self.spec = spec
        self._names = names
        self._texts = frozenset(spec.text_columns)
        self._number_fields = [name for name in names if name not in self._texts]
        self._derived = [
            (derived.name, compile_expression(derived.expression, names, texts=self._texts))
            for derived in spec.derived
        ]

    def columns(self, rows: RawRows) -> Columns:
        """Every column of the spec, in order: float32 (NaN is missing) or text objects ("" is missing).

        rows: checked rows, dicts, or a table with at least the fields. Raises KeyError for one it lacks.
        """
        return self.derive(self.raw(rows))

    def derive(self, raw: Columns) -> Columns:
        """Completes fields (float64 and text) with the derived columns; `raw` is used up."""
        for name, expression in self._derived:
            raw[name] = expression(raw)
        return {
            name: raw[name] if name in self._texts else raw[name].astype(np.float32)
            for name in self.spec.columns
        }

    def one(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of one row as floats and text: about ten times quicker than `columns`."""
        values: dict[str, Any] = {}
        for name in self._number_fields:
            value = row[name]
            values[name] = math.nan if value is None else float(value)
        for name in self._texts:
            values[name] = row[name] or ""
        for name, expression in self._derived:
            values[name] = expression.scalar(values)
        return values

    def raw(self, rows: RawRows) -> Columns:
        """The fields alone: float64 and text."""
        if isinstance(rows, Rows):
            rows = rows.inputs
        if isinstance(rows, Sequence):
            rows = {name: [row[name] for row in rows] for name in self._names}
        table = cast(Mapping[str, Any], rows)
        return {
            name: _texts(table[name]) if name in self._texts else _numbers(table[name])
            for name in self._names
        }


def frame(spec: Spec, rows: RawRows) -> Columns:
    """`Featurizer.columns` for a single use, as in training."""
    return Featurizer(spec).columns(rows)


def table(spec: Spec, rows: RawRows) -> pd.DataFrame:
    """The columns as the DataFrame that a model is fitted on."""
    import pandas as pd

    return pd.DataFrame(frame(spec, rows), columns=spec.columns)


def with_column(table: pd.DataFrame, name: str, values: Any) -> pd.DataFrame:
    """A copy with this column; `assign` takes no column that is called `self`."""
    made = table.copy()
    made[name] = values
    return made


def _numbers(values: Any) -> np.ndarray:
    if hasattr(values, "to_numpy"):  # a pandas Series, whose own missing values numpy does not know
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    return np.asarray([math.nan if value is None else value for value in values], dtype=np.float64)


def _texts(values: Any) -> np.ndarray:
    clean = ["" if value is None or _is_nan(value) else str(value) for value in values]
    texts = np.empty(len(clean), dtype=object)
    texts[:] = clean
    return texts


def _is_nan(value: Any) -> bool:
    """NaN, or pandas' NA, which is equal to nothing, not even to be asked."""
    return (isinstance(value, float) and math.isnan(value)) or type(value).__name__ == "NAType"
