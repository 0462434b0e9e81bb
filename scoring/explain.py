"""Why this answer: Shapley values over the raw fields, through the model that is served.

The game: a coalition's worth is the mean answer over reference rows in which the coalition's fields are those
of the row to explain. Derived columns are worked out again for every such row: their fields get the credit.
Source: E. Strumbelj and I. Kononenko, Explaining prediction models and individual predictions with feature
contributions, Knowledge and Information Systems 41, 2014.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from scoring.features import Columns, Featurizer
from scoring.score import Outcome, Predictor
from scoring.spec import Spec

EXACT_FIELDS = 10
BATCH_ROWS = 20_000


class Explanation(Struct, frozen=True):
    """contributions add up to prediction - base. errors: standard errors, None when the values are exact.

    target: the class that is explained, as the answer names it; None for a regression.
    """

    base: float
    prediction: float
    contributions: dict[str, float]
    errors: dict[str, float] | None
    target: str | None
    is_exact: bool


def shapley(
    scorer: Predictor,
    spec: Spec,
    row: Mapping[str, Any],
    reference: Sequence[Mapping[str, Any]],
    *,
    n_background: int = 100,
    n_permutations: int = 200,
    seed: int = 42,
) -> Explanation:
    """row, reference: raw fields. Of the reference, at most n_background rows are used, drawn with the seed.

    With two classes the second is explained, with more the predicted one. Exact up to 10 fields; above them
    `n_permutations` orders are sampled, each with its reverse. Raises ValueError without reference rows.
    """
    if not reference:
        raise ValueError("an explanation needs reference rows")
    dice = np.random.default_rng(seed)
    chosen = dice.choice(len(reference), min(n_background, len(reference)), replace=False)
    game = _Game(scorer, spec, row, [reference[index] for index in sorted(chosen)])
    names = [field.name for field in spec.fields]
    everyone = (1 << len(names)) - 1
    base, prediction = game.worth([0, everyone])
    errors: dict[str, float] | None = None
    if len(names) <= EXACT_FIELDS:
        values = _exact(game.worth(range(everyone + 1)), len(names))
    else:
        values, spread = _sampled(game, len(names), n_permutations, dice)
        errors = dict(zip(names, spread.tolist(), strict=True))
    return Explanation(
        base=float(base),
        prediction=float(prediction),
        contributions=dict(zip(names, values.tolist(), strict=True)),
        errors=errors,
        target=game.target,
        is_exact=errors is None,
    )


class _Game:
    """What coalitions of fields are worth; a coalition is an integer with a bit for each field."""

    def __init__(
        self, scorer: Predictor, spec: Spec, row: Mapping[str, Any], background: Sequence[Mapping[str, Any]]
    ) -> None:
        self._scorer = scorer
        self._featurizer = Featurizer(spec)
        self._names = [field.name for field in spec.fields]
        self._row = self._featurizer.raw([row])
        self._background = self._featurizer.raw(background)
        self._n_background = len(background)
        outcome = scorer.predict(self._featurizer.derive(dict(self._row)))
        self._class = _explained_class(outcome)
        self.target = None if self._class is None else str(spec.class_values[self._class])

    def worth(self, coalitions: Sequence[int]) -> np.ndarray:
        """One mean answer a coalition, many coalitions in one call of the model."""
        step = max(1, BATCH_ROWS // self._n_background)
        parts = [self._batch(coalitions[start : start + step]) for start in range(0, len(coalitions), step)]
        return np.concatenate(parts)

    def _batch(self, coalitions: Sequence[int]) -> np.ndarray:
        masks = np.array([[c >> bit & 1 for bit in range(len(self._names))] for c in coalitions], dtype=bool)
        member = np.repeat(masks, self._n_background, axis=0)
        mixed: Columns = {}
        for bit, name in enumerate(self._names):
            others = np.tile(self._background[name], len(coalitions))
            mixed[name] = np.where(member[:, bit], self._row[name][0], others)
        outcome = self._scorer.predict(self._featurizer.derive(mixed))
        answers = outcome.values if self._class is None else _shares(outcome)[:, self._class]
        return np.asarray(np.asarray(answers, np.float64).reshape(len(coalitions), -1).mean(axis=1))


def _explained_class(outcome: Outcome) -> int | None:
    if outcome.probabilities is None:
        return None
    shares = outcome.probabilities[0]
    return 1 if len(shares) == 2 else int(np.argmax(shares))


def _shares(outcome: Outcome) -> np.ndarray:
    assert outcome.probabilities is not None
    return np.asarray(outcome.probabilities)


def _exact(worth: np.ndarray, n: int) -> np.ndarray:
    """Shapley's sum over all coalitions. worth: indexed by coalition."""
    coalitions = np.arange(1 << n)
    sizes = np.array([int(c).bit_count() for c in coalitions])
    weight = np.array([math.factorial(s) * math.factorial(n - s - 1) / math.factorial(n) for s in range(n)])
    values = np.empty(n)
    for bit in range(n):
        without = coalitions[(coalitions >> bit & 1) == 0]
        values[bit] = np.sum(weight[sizes[without]] * (worth[without | (1 << bit)] - worth[without]))
    return values


def _sampled(
    game: _Game, n: int, n_permutations: int, dice: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Means over random orders and their standard errors. An order and its reverse make one sample."""
    samples = np.empty((n_permutations, n))
    for index in range(n_permutations):
        order = dice.permutation(n)
        samples[index] = (_along(game, order) + _along(game, order[::-1])) / 2
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(n_permutations)


def _along(game: _Game, order: np.ndarray) -> np.ndarray:
    """What each field adds when the fields join in this order."""
    coalitions = [0]
    for bit in order.tolist():
        coalitions.append(coalitions[-1] | 1 << bit)
    gains = np.empty(len(order))
    gains[order] = np.diff(game.worth(coalitions))
    return gains
