"""How good a model is, in numpy alone: quick enough to be worked out two thousand times for an interval."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata

from scoring.score import Outcome
from scoring.spec import Spec

MIN_SHARE = 1e-15  # a probability of 0 would make the log loss infinite
MISSING = "missing"


class Measured:
    """Truth and outcome side by side, prepared once; `take` gives a selection of the rows."""

    def __init__(
        self, truth: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray | None, n: int
    ) -> None:
        """truth, predicted: class indices with n classes, or numbers with n = 0."""
        self.truth = truth
        self.predicted = predicted
        self.probabilities = probabilities
        self.n_classes = n

    @classmethod
    def of(cls, spec: Spec, truth: Sequence[Any] | np.ndarray, outcome: Outcome) -> "Measured":
        """Raises ValueError for a label that the spec does not list."""
        if spec.task == "regression":
            return cls(np.asarray(truth, np.float64), np.asarray(outcome.values, np.float64), None, 0)
        n_classes = len(spec.class_values)
        return cls(_indices(spec, truth), _indices(spec, outcome.values), outcome.probabilities, n_classes)

    def take(self, rows: np.ndarray) -> "Measured":
        shares = None if self.probabilities is None else self.probabilities[rows]
        return Measured(self.truth[rows], self.predicted[rows], shares, self.n_classes)

    def metric(self, name: str) -> float:
        """NaN where it is not defined, such as the AUC of a single class."""
        return METRICS[name](self)


def evaluate(spec: Spec, truth: Sequence[Any] | np.ndarray, outcome: Outcome) -> dict[str, float]:
    """Every metric that the task has and these rows define."""
    return _all(spec, Measured.of(spec, truth, outcome))


def by_slice(
    spec: Spec, truth: Sequence[Any] | np.ndarray, outcome: Outcome, slices: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, dict[str, float]]]:
    """field -> value -> metrics, with the number of rows as `n`."""
    measured = Measured.of(spec, truth, outcome)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for field, keys in slices.items():
        marks = np.asarray(keys, dtype=object)
        result[field] = {}
        for key in sorted(set(keys)):
            rows = np.flatnonzero(marks == key)
            result[field][key] = {"n": len(rows), **_all(spec, measured.take(rows))}
    return result


def slice_keys(spec: Spec, columns: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """For each field that the spec slices by, the slice of each row. columns: from `features.frame`."""
    return {
        name: [_key(spec.field(name).type, value) for value in columns[name].tolist()] for name in spec.slices
    }


def baseline(spec: Spec, labels: Sequence[Any] | np.ndarray, n_rows: int) -> Outcome:
    """The trivial model: always the majority class of `labels`, with their shares, or always their mean."""
    if spec.task == "regression":
        return Outcome(np.full(n_rows, np.mean(np.asarray(labels, np.float64))), None)
    counts = np.bincount(_indices(spec, labels), minlength=len(spec.class_values))
    majority = spec.class_values[int(counts.argmax())]
    return Outcome(np.array([majority] * n_rows), np.tile(counts / counts.sum(), (n_rows, 1)))


def _all(spec: Spec, measured: Measured) -> dict[str, float]:
    names = REGRESSION if spec.task == "regression" else CLASSIFICATION
    scores = {name: measured.metric(name) for name in names}
    return {name: score for name, score in scores.items() if np.isfinite(score)}


def _indices(spec: Spec, values: Sequence[Any] | np.ndarray) -> np.ndarray:
    position = {value: index for index, value in enumerate(spec.class_values)}
    try:
        return np.array([position[value] for value in np.asarray(values).tolist()], dtype=np.intp)
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is not among the labels of the spec") from error


def _key(kind: str, value: Any) -> str:
    if value == "" or value != value:
        return MISSING
    if kind == "boolean":
        return "true" if value else "false"
    return str(int(value)) if kind == "integer" else str(value)


def _accuracy(m: Measured) -> float:
    return float(np.mean(m.truth == m.predicted)) if len(m.truth) else np.nan


def _macro_f1(m: Measured) -> float:
    """Mean over the classes that occur, in truth or prediction."""
    n = m.n_classes
    table = np.bincount(m.truth * n + m.predicted, minlength=n * n).reshape(n, n)
    total = table.sum(axis=0) + table.sum(axis=1)
    present = total > 0
    return float(np.mean(2 * np.diag(table)[present] / total[present])) if present.any() else np.nan


def _roc_auc(m: Measured) -> float:
    """Of the second class, ties counting half. Source: Mann and Whitney 1947, U over n1 * n0."""
    if m.n_classes != 2 or m.probabilities is None:
        return np.nan
    is_positive = m.truth == 1
    n_positive = int(is_positive.sum())
    n_negative = len(m.truth) - n_positive
    if not n_positive or not n_negative:
        return np.nan
    ranks = rankdata(m.probabilities[:, 1])
    return float((ranks[is_positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _log_loss(m: Measured) -> float:
    if m.probabilities is None or not len(m.truth):
        return np.nan
    shares = m.probabilities[np.arange(len(m.truth)), m.truth].astype(np.float64)
    return float(-np.mean(np.log(np.clip(shares, MIN_SHARE, 1))))


def _mae(m: Measured) -> float:
    return float(np.mean(np.abs(m.truth - m.predicted))) if len(m.truth) else np.nan


def _rmse(m: Measured) -> float:
    return float(np.sqrt(np.mean((m.truth - m.predicted) ** 2))) if len(m.truth) else np.nan


def _r2(m: Measured) -> float:
    spread = float(np.sum((m.truth - np.mean(m.truth)) ** 2)) if len(m.truth) > 1 else 0.0
    return 1 - float(np.sum((m.truth - m.predicted) ** 2)) / spread if spread else np.nan


METRICS: dict[str, Callable[[Measured], float]] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
}
CLASSIFICATION = ("accuracy", "macro_f1", "roc_auc", "log_loss")
REGRESSION = ("mae", "rmse", "r2")
