"""A compiled model in memory: columns in, values, labels and probabilities out. Nothing is unpickled here."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import EngineError

from scoring.alike import PROBABILITY_DIGITS
from scoring.check import NoNumber, Rows
from scoring.features import Columns, Featurizer
from scoring.spec import Spec


class ScorerError(Exception):
    """This model cannot be served with this spec."""


class ModelFailure(Exception):
    """The model failed on these rows, and would again; the message says how."""


class ScoringUnavailable(Exception):
    """Nothing scores just now, through no fault of the rows; they may be sent again."""


def is_passing(error: Exception) -> bool:
    """Whether a model failed for want of memory, files or threads, not for its rows."""
    return isinstance(error, (MemoryError, OSError, EngineError)) or any(
        words in str(error) for words in _LACKING
    )


# What comes as an error of another kind; onnxruntime has none for memory.
_LACKING = ("can't start new thread", "std::bad_alloc", "Failed to allocate memory")


class Outcome(NamedTuple):
    """values: shape (n,). probabilities: shape (n, n_classes), in the spec's order; None for a regression."""

    values: np.ndarray
    probabilities: np.ndarray | None


def score_of(outcome: Outcome) -> np.ndarray:
    """The stored score: of two classes the second's probability, of more the winner's, else the value."""
    if outcome.probabilities is None:
        return np.asarray(outcome.values, dtype=np.float64)
    shares = outcome.probabilities
    return np.asarray(shares[:, 1] if shares.shape[1] == 2 else shares.max(axis=1))


class Scores(NamedTuple):
    """One entry a row, ready for JSON. A regression has None for each label and probability."""

    values: list[Any]
    labels: list[str | None]
    probabilities: list[dict[str, float] | None]


class Predictor(Protocol):
    """What explains, measures and judges a model needs of it: the compiled and the original both offer it."""

    spec: Spec

    def predict(self, columns: Columns) -> Outcome:
        """Raises ModelFailure where it is served, what the estimator raises where it is judged."""
        ...


class Presenter:
    """Turns outcomes into what an answer says."""

    def __init__(self, spec: Spec) -> None:
        # Estimators may have learnt True or 1.0 where the spec, and with it every reader of answers, has 1.
        self._classes: dict[Any, tuple[int | str, str]] = {
            label.value: (label.value, label.text) for label in spec.output.labels
        }
        self._keys = [str(label.value) for label in spec.output.labels]

    def scores(self, outcome: Outcome) -> Scores:
        """Raises NoNumber."""
        numbers = outcome.values if outcome.probabilities is None else outcome.probabilities
        is_number = np.isfinite(numbers)
        if not is_number.all():
            is_whole = is_number.reshape(len(numbers), -1).all(axis=1)
            raise NoNumber(np.flatnonzero(~is_whole).tolist())
        values = outcome.values.tolist()
        if outcome.probabilities is None:
            return Scores(values, [None] * len(values), [None] * len(values))
        keys = self._keys
        probabilities: list[dict[str, float] | None] = [
            {key: round(share, PROBABILITY_DIGITS) for key, share in zip(keys, shares, strict=True)}
            for shares in outcome.probabilities.tolist()
        ]
        classes = [self._classes[value] for value in values]
        return Scores([value for value, _text in classes], [text for _value, text in classes], probabilities)


class Scorer:
    """One ONNX model and its spec. Safe to use from several threads."""

    def __init__(self, session: ort.InferenceSession, spec: Spec) -> None:
        self.spec = spec
        self._session = session
        self._featurizer = Featurizer(spec)
        self._presenter = Presenter(spec)
        self._inputs = [node.name for node in session.get_inputs()]
        self._number_inputs = [name for name in self._inputs if name not in spec.text_columns]
        self._text_inputs = [name for name in self._inputs if name in spec.text_columns]
        if unknown := set(self._inputs) - set(spec.columns):
            raise ScorerError(
                f"The model asks for columns that the spec does not have: {', '.join(sorted(unknown))}."
            )
        expected = 2 if spec.class_values else 1
        if (found := len(session.get_outputs())) != expected:
            raise ScorerError(f"A {spec.task} model must have {expected} outputs, this one has {found}.")

    @classmethod
    def from_onnx(cls, model: bytes, spec: Spec) -> "Scorer":
        """Raises ScorerError."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes have no common base
            raise ScorerError(f"The compiled model does not load: {error}") from error
        return cls(session, spec)

    def predict(self, columns: Mapping[str, np.ndarray]) -> Outcome:
        """columns: from `features.frame`. Raises ModelFailure, ScoringUnavailable."""
        return self._run({name: columns[name].reshape(-1, 1) for name in self._inputs})

    def score(self, columns: Mapping[str, np.ndarray]) -> Scores:
        """Raises ModelFailure, NoNumber, ScoringUnavailable."""
        return self._presenter.scores(self.predict(columns))

    def score_rows(self, rows: Rows | Sequence[Mapping[str, Any]]) -> Scores:
        """Checked raw rows, derived columns worked out on the way: what a request calls.

        Raises ModelFailure, NoNumber, ScoringUnavailable.
        """
        inputs = rows.inputs if isinstance(rows, Rows) else rows
        if len(inputs) == 1:
            return self._presenter.scores(self._run(self._feed_one(inputs[0])))
        return self.score(self._featurizer.columns(inputs))

    def _feed_one(self, row: Mapping[str, Any]) -> dict[str, np.ndarray]:
        values = self._featurizer.one(row)
        numbers = np.array([[values[name]] for name in self._number_inputs], dtype=np.float32)
        feed = {name: numbers[i : i + 1] for i, name in enumerate(self._number_inputs)}
        for name in self._text_inputs:
            feed[name] = np.array([[values[name]]], dtype=object)
        return feed

    def _run(self, feed: dict[str, np.ndarray]) -> Outcome:
        try:
            results = self._session.run(None, feed)
        except Exception as error:  # onnxruntime's own classes have no common base
            kind = ScoringUnavailable if is_passing(error) else ModelFailure
            raise kind(f"{type(error).__name__}: {error}"[:1000]) from error
        if len(results) == 1:
            return Outcome(results[0].reshape(-1), None)
        return Outcome(results[0], results[1])
