"""Why this answer: Shapley values over the raw fields, through the model that is served.

The game: a coalition's worth is the mean answer over reference rows in which the coalition's fields are those
of the row to explain. Derived columns are worked out again for every such row: their fields get the credit.
Such a mixture may be one that nothing in the world is, and a model may fail on it or answer with no number.
Then its reference row is left out of every mean, so that contributions still add up exactly.
Source: E. Strumbelj and I. Kononenko, Explaining prediction models and individual predictions with feature
contributions, Knowledge and Information Systems 41, 2014.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from scoring.check import NoNumber
from scoring.features import Columns, Featurizer
from scoring.score import ModelFailure, Outcome, Predictor
from scoring.spec import Spec

EXACT_FIELDS = 10
BATCH_ROWS = 5_000  # a call of the model, which a runner has to answer in time
BUDGET_S = 5.0


class NotExplained(Exception):
    """The model answers the row itself, and fails in the company of every reference row; says how."""


class GivenUp(Exception):
    """Nobody waits for the explanation any more."""


class _TimeUp(Exception):
    """The time for exact values is over."""


class Explanation(Struct, frozen=True):
    """contributions add up to prediction - base.

    errors: standard errors; None when the values are exact, of a field when time was up after one sample.
    target: the class that is explained, as the answer names it; None for a regression.
    n_reference: reference rows that the means are over. n_left_out: those with which the model failed.
    """

    base: float
    prediction: float
    contributions: dict[str, float]
    errors: dict[str, float | None] | None
    target: str | None
    is_exact: bool
    n_reference: int
    n_left_out: int


def shapley(
    scorer: Predictor,
    spec: Spec,
    row: Mapping[str, Any],
    reference: Sequence[Mapping[str, Any]],
    *,
    n_background: int = 100,
    n_permutations: int = 200,
    seed: int = 42,
    budget_s: float = BUDGET_S,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Explanation:
    """row, reference: raw fields. Of the reference, at most n_background rows are used, drawn with the seed.

    With two classes the second is explained, with more the predicted one. Exact up to 10 fields, if half of
    the budget is enough for it; else up to `n_permutations` orders are sampled, each with its reverse: as
    many as the budget holds, and always one. is_wanted: asked between calls of the model.
    Raises ValueError without reference rows, ModelFailure and NoNumber when the model does not answer the row
    itself, NotExplained, GivenUp.
    """
    if not reference:
        raise ValueError("an explanation needs reference rows")
    start = time.monotonic()
    dice = np.random.default_rng(seed)
    chosen = dice.choice(len(reference), min(n_background, len(reference)), replace=False)
    game = _Game(scorer, spec, row, [reference[index] for index in sorted(chosen)], is_wanted)
    names = [field.name for field in spec.fields]
    try:
        base, prediction, values = _exactly(game, len(names), until=start + budget_s / 2)
        errors: dict[str, float | None] | None = None
    except _TimeUp:
        ends = game.answers([0, (1 << len(names)) - 1])
        samples = game.means(_sampled(game, len(names), n_permutations, dice, until=start + budget_s))
        base, prediction = game.means(ends)
        values = samples.mean(axis=0)
        errors = dict(zip(names, _standard_errors(samples), strict=True))
    return Explanation(
        base=float(base),
        prediction=float(prediction),
        contributions=dict(zip(names, values.tolist(), strict=True)),
        errors=errors,
        target=game.target,
        is_exact=errors is None,
        n_reference=len(game.usable),
        n_left_out=len(chosen) - len(game.usable),
    )


class _Game:
    """What coalitions of fields are worth; a coalition is an integer with a bit for each field.

    usable: places of the background rows in whose company the model has answered everything so far.
    """

    def __init__(
        self,
        scorer: Predictor,
        spec: Spec,
        row: Mapping[str, Any],
        background: Sequence[Mapping[str, Any]],
        is_wanted: Callable[[], bool],
    ) -> None:
        self._scorer = scorer
        self._is_wanted = is_wanted
        self._featurizer = Featurizer(spec)
        self._names = [field.name for field in spec.fields]
        self._row = self._featurizer.raw([row])
        self._background = self._featurizer.raw(background)
        self._n_background = len(background)
        self._why = "it answers with no number"
        self.usable = np.arange(len(background))
        outcome = scorer.predict(self._featurizer.derive(dict(self._row)))
        if not np.isfinite(outcome.values if outcome.probabilities is None else outcome.probabilities).all():
            raise NoNumber([0])
        self._class = _explained_class(outcome)
        self.target = None if self._class is None else str(spec.class_values[self._class])

    def answers(self, coalitions: Sequence[int], *, until: float = math.inf) -> np.ndarray:
        """Shape (n_coalitions, n_background), many in one call of the model; NaN where it does not answer.

        Raises NotExplained when no background row is usable any more, GivenUp, _TimeUp.
        """
        found = np.full((len(coalitions), self._n_background), np.nan)
        step = max(1, BATCH_ROWS // self._n_background)
        for start in range(0, len(coalitions), step):
            if not self._is_wanted():
                raise GivenUp
            if time.monotonic() > until:
                raise _TimeUp
            part = slice(start, start + step)
            self._fill(found[part], self._masks(coalitions[part]), self.usable)
            self.usable = np.flatnonzero(np.isfinite(found[part]).all(axis=0))
            if not len(self.usable):
                raise NotExplained(self._why)
        return found

    def means(self, answers: np.ndarray) -> np.ndarray:
        """Over the background rows that are usable, the last axis of `answers`."""
        return np.asarray(answers[..., self.usable].mean(axis=-1))

    def _fill(self, found: np.ndarray, masks: np.ndarray, rows: np.ndarray) -> None:
        """Columns `rows` of `found`; by halves where the model fails, so that one row takes none with it."""
        try:
            found[:, rows] = self._mixed(masks, rows)
        except ModelFailure as error:
            self._why = str(error)
            if len(rows) > 1:
                for half in np.array_split(rows, 2):
                    self._fill(found, masks, half)

    def _masks(self, coalitions: Sequence[int]) -> np.ndarray:
        return np.array([[c >> bit & 1 for bit in range(len(self._names))] for c in coalitions], dtype=bool)

    def _mixed(self, masks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        member = np.repeat(masks, len(rows), axis=0)
        mixed: Columns = {}
        for bit, name in enumerate(self._names):
            others = np.tile(self._background[name][rows], len(masks))
            mixed[name] = np.where(member[:, bit], self._row[name][0], others)
        outcome = self._scorer.predict(self._featurizer.derive(mixed))
        answers = outcome.values if self._class is None else _shares(outcome)[:, self._class]
        return np.asarray(answers, np.float64).reshape(len(masks), len(rows))


def _explained_class(outcome: Outcome) -> int | None:
    if outcome.probabilities is None:
        return None
    shares = outcome.probabilities[0]
    return 1 if len(shares) == 2 else int(np.argmax(shares))


def _shares(outcome: Outcome) -> np.ndarray:
    assert outcome.probabilities is not None
    return np.asarray(outcome.probabilities)


def _exactly(game: _Game, n: int, *, until: float) -> tuple[float, float, np.ndarray]:
    """Base, prediction and what each of the n fields adds. Raises _TimeUp, at once for too many fields."""
    if n > EXACT_FIELDS:
        raise _TimeUp
    worth = game.means(game.answers(range(1 << n), until=until))
    return worth[0], worth[-1], _exact(worth, n)


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
    game: _Game, n: int, n_permutations: int, dice: np.random.Generator, *, until: float
) -> np.ndarray:
    """What each field adds in random orders: shape (n_samples, n, n_background).

    An order and its reverse make one sample.
    """
    samples: list[np.ndarray] = []
    while len(samples) < n_permutations and (not samples or time.monotonic() < until):
        order = dice.permutation(n)
        samples.append((_along(game, order) + _along(game, order[::-1])) / 2)
    return np.stack(samples)


def _standard_errors(samples: np.ndarray) -> list[float | None]:
    """samples: shape (n_samples, n). One sample alone tells nothing of its error."""
    n_samples, n = samples.shape
    if n_samples == 1:
        return [None] * n
    found: list[float | None] = (samples.std(axis=0, ddof=1) / math.sqrt(n_samples)).tolist()
    return found


def _along(game: _Game, order: np.ndarray) -> np.ndarray:
    """What each field adds, with each background row, when the fields join in this order."""
    coalitions = [0]
    for bit in order.tolist():
        coalitions.append(coalitions[-1] | 1 << bit)
    steps = np.diff(game.answers(coalitions), axis=0)
    gains = np.empty_like(steps)
    gains[order] = steps
    return gains
