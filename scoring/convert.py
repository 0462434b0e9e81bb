"""scikit-learn to ONNX, and whether both answer alike."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from msgspec import Struct

from scoring.alike import PROBABILITY_TOLERANCE, RELATIVE_TOLERANCE, Scale
from scoring.features import Columns, with_column
from scoring.language import Field
from scoring.originals import Original
from scoring.score import Predictor
from scoring.spec import Spec

UNSEEN_ROWS = 200
UNSEEN_TEXT = "a value that no training row has"


class ConversionError(Exception):
    """ONNX cannot express this model; the message says what stood in the way."""


class Parity(Struct, frozen=True):
    """max_difference: in probability, or as a share of a regression's scale.

    where: which rows differ most; empty for rows as they are. refused: what the original said to rows that
    the spec allows, and which rows those are.
    """

    rows: int
    max_difference: float
    labels_different: int
    tolerance: float
    where: str = ""
    refused: str = ""

    @property
    def holds(self) -> bool:
        return self.max_difference <= self.tolerance and self.labels_different == 0 and not self.refused


def to_onnx(original: Original) -> bytes:
    """Raises ConversionError."""
    from skl2onnx.common.utils import InvalidInputLengthException

    spec, estimator = original.spec, original.estimator
    try:
        try:
            model = _converted(estimator, spec)
        except InvalidInputLengthException:  # one that takes a table only, not its columns
            if spec.text_columns:
                raise
            model = _converted(_behind_columns(estimator, spec), spec)
    except Exception as error:  # the converters of many authors raise what they like; all mean the same here
        raise ConversionError(f"{type(error).__name__}: {str(error)[:300]}") from error
    _restore_names(model.graph, spec.columns)
    model.opset_import.sort(key=lambda opset: opset.domain)  # as they come out of a set, in any order
    return bytes(model.SerializeToString())


def _converted(estimator: Any, spec: Spec) -> Any:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    texts = set(spec.text_columns)
    inputs = [
        (name, StringTensorType([None, 1]) if name in texts else FloatTensorType([None, 1]))
        for name in spec.columns
    ]
    options = {id(_last(estimator)): {"zipmap": False}} if spec.task == "classification" else None
    # A name of its own would be drawn anew each time, and the same model would never have the same hash.
    return convert_sklearn(
        estimator, "model", initial_types=inputs, final_types=_outputs(spec), options=options
    )


def _behind_columns(estimator: Any, spec: Spec) -> Any:
    """The same estimator behind a step that puts the columns side by side, numbers as they are."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    columns = pd.DataFrame(0.0, index=[0], columns=spec.columns)
    together = ColumnTransformer([("columns", "passthrough", spec.columns)]).fit(columns)
    return Pipeline([("together", together), ("model", estimator)])


def _outputs(spec: Spec) -> list[tuple[str, None]] | None:
    """Names of the answers; the converter's own, unless a column has one of these."""
    names = ["label", "probabilities"] if spec.class_values else ["variable"]
    if not set(names) & set(spec.columns):
        return None
    return [(f"atalaya_{name}", None) for name in names]


def _restore_names(graph: Any, columns: list[str]) -> None:
    """Inputs bear the columns' own names again; the converter makes identifiers of them."""
    if len(graph.input) != len(columns):
        raise ConversionError(f"the converter made {len(graph.input)} inputs of {len(columns)} columns")
    renamed = {node.name: name for node, name in zip(graph.input, columns, strict=True) if node.name != name}
    for node in graph.input:
        node.name = renamed.get(node.name, node.name)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def compare(
    original: Predictor, compiled: Predictor, groups: Iterable[tuple[str, Columns]], scale: Scale
) -> Parity:
    """groups: rows to compare on, each with words for what they are. scale: of the original's answers.

    A label may differ only where the probabilities tie.
    """
    found = [_compared(original, compiled, where, columns, scale) for where, columns in groups]
    worst = max(found, key=lambda parity: parity.max_difference)
    return Parity(
        rows=sum(parity.rows for parity in found),
        max_difference=worst.max_difference,
        labels_different=sum(parity.labels_different for parity in found),
        tolerance=worst.tolerance,
        where=worst.where,
        refused=next((parity.refused for parity in found if parity.refused), ""),
    )


def _compared(original: Predictor, compiled: Predictor, where: str, columns: Columns, scale: Scale) -> Parity:
    try:
        expected = original.predict(columns)
    except Exception as error:
        if not where:
            raise  # rows as training saw them: nothing can be served
        return Parity(0, 0.0, 0, 0.0, where, f"{where} ({type(error).__name__}: {str(error)[:200]})")
    found = compiled.predict(columns)
    if expected.probabilities is None or found.probabilities is None:
        difference = np.abs(expected.values - found.values) / scale.at(expected.values)
        return Parity(len(difference), _largest(difference), 0, RELATIVE_TOLERANCE, where)
    difference = np.abs(expected.probabilities - found.probabilities)
    ordered = np.sort(expected.probabilities, axis=1)
    is_tie = ordered[:, -1] - ordered[:, -2] <= PROBABILITY_TOLERANCE
    different = int(np.sum((np.asarray(expected.values) != np.asarray(found.values)) & ~is_tie))
    return Parity(len(difference), _largest(difference), different, PROBABILITY_TOLERANCE, where)


def rows_to_compare(spec: Spec, rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows; then, field by field, the rows with it gone, and some with values that none of them has."""
    raw = rows[[field.name for field in spec.fields]].astype(object)
    yield "", raw
    for field in spec.fields:
        if field.nullable:
            yield f"where {field.name} is missing", with_column(raw, field.name, None)
        if values := _unseen(field, raw[field.name]):
            some = raw.head(UNSEEN_ROWS)
            column = [values[place % len(values)] for place in range(len(some))]
            yield f"where {field.name} is not as in the reference", with_column(some, field.name, column)


def _unseen(field: Field, column: pd.Series) -> list[Any]:
    """Values that the field may have and the column has not; a number in between is no new kind of value."""
    present = set(column.dropna())
    if field.choices is not None and not field.choices.open:
        return [known.value for known in field.choices.values if known.value not in present][:UNSEEN_ROWS]
    if field.type == "boolean":
        return [value for value in (False, True) if value not in present]
    if field.type == "text":
        return [UNSEEN_TEXT]
    if field.type == "integer" and present:
        beyond = [int(max(present)) + 1, int(min(present)) - 1]
        return [value for value in beyond if _is_within(field, value)]
    return []


def _is_within(field: Field, value: int) -> bool:
    return (field.min is None or value >= field.min) and (field.max is None or value <= field.max)


def _last(estimator: Any) -> Any:
    return _last(estimator.steps[-1][1]) if hasattr(estimator, "steps") else estimator


def _largest(difference: np.ndarray) -> float:
    """NaN counts as infinite: a missing answer is no match."""
    largest = float(np.max(difference, initial=0.0))
    return largest if np.isfinite(largest) else 1e308
