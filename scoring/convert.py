"""scikit-learn to ONNX, and whether both answer alike."""

from typing import Any

import numpy as np
import pandas as pd
from msgspec import Struct

from scoring.features import Columns
from scoring.originals import Original
from scoring.score import Predictor
from scoring.spec import Spec

# ONNX sums float32 over hundreds of trees: 1e-6 is seen. A scaler before trees, a real fault, makes it 1e-1.
PROBABILITY_TOLERANCE = 1e-5
RELATIVE_TOLERANCE = 1e-5  # of a regression


class ConversionError(Exception):
    """ONNX cannot express this model; the message says what stood in the way."""


class Parity(Struct, frozen=True):
    """max_difference: in probability, or relative to the value in a regression."""

    rows: int
    max_difference: float
    labels_different: int
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.max_difference <= self.tolerance and self.labels_different == 0


def to_onnx(original: Original) -> bytes:
    """Raises ConversionError."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    spec, estimator = original.spec, original.estimator
    texts = set(spec.text_columns)
    inputs = [
        (name, StringTensorType([None, 1]) if name in texts else FloatTensorType([None, 1]))
        for name in spec.columns
    ]
    options = {id(_last(estimator)): {"zipmap": False}} if spec.task == "classification" else None
    try:
        model = convert_sklearn(estimator, initial_types=inputs, options=options)
    except Exception as error:  # the converters of many authors raise what they like; all mean the same here
        raise ConversionError(f"{type(error).__name__}: {str(error)[:300]}") from error
    return bytes(model.SerializeToString())


def compare(original: Predictor, compiled: Predictor, columns: Columns) -> Parity:
    """columns: rows to compare on. A label may differ only where the probabilities tie."""
    expected, found = original.predict(columns), compiled.predict(columns)
    if expected.probabilities is None or found.probabilities is None:
        scale = np.maximum(1.0, np.abs(expected.values))
        difference = np.abs(expected.values - found.values) / scale
        return Parity(len(difference), _largest(difference), 0, RELATIVE_TOLERANCE)
    difference = np.abs(expected.probabilities - found.probabilities)
    ordered = np.sort(expected.probabilities, axis=1)
    is_tie = ordered[:, -1] - ordered[:, -2] <= PROBABILITY_TOLERANCE
    different = int(np.sum((np.asarray(expected.values) != np.asarray(found.values)) & ~is_tie))
    return Parity(len(difference), _largest(difference), different, PROBABILITY_TOLERANCE)


def with_gaps(spec: Spec, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, then the same rows with each field that may be missing gone in turn."""
    gaps = [rows.assign(**{field.name: None}) for field in spec.fields if field.nullable]
    names = [field.name for field in spec.fields]
    return pd.concat([part[names].astype(object) for part in [rows, *gaps]], ignore_index=True)


def _last(estimator: Any) -> Any:
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def _largest(difference: np.ndarray) -> float:
    """NaN counts as infinite: a missing answer is no match."""
    largest = float(np.max(difference, initial=0.0))
    return largest if np.isfinite(largest) else 1e308
