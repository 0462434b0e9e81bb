"""A window against the reference: checks for each column, corrected together, and a verdict.

A column drifts when one of its checks is significant after the correction *and* its effect reaches the limit,
in a window of at least `min_n` predictions. A window drifts when a column does.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from scoring.drift import statistics
from scoring.drift.reference import categories, in_buckets, n_outside, nearest, numbers
from scoring.drift.shapes import (
    Bins,
    Check,
    Column,
    ColumnJudgement,
    Judgement,
    Limits,
    Reference,
    Verdict,
)
from scoring.words import told_apart

# A distribution is compared when at least so many rows on both sides have a value.
LEAST_PRESENT = 30
MOST_DRAWN = 12


def judge(reference: Reference, window: Mapping[str, Sequence[Any]], limits: Limits) -> Judgement:
    """window: the raw fields and the score by name, None for missing; columns of the same length."""
    n = len(next(iter(window.values()), ()))
    columns = [_column(column, window.get(column.name, [None] * n), limits) for column in reference.columns]
    if n >= limits.min_n:
        _correct([check for column in columns for check in column.checks], limits.alpha)
    for column in columns:
        column.verdict = _verdict(column.checks) if n >= limits.min_n else "not_enough"
    return Judgement(n, _verdict_of_window(columns), columns)


def _correct(checks: list[Check], alpha: float) -> None:
    for check, p_adjusted in zip(checks, statistics.corrected([one.p_value for one in checks]), strict=True):
        check.p_adjusted = p_adjusted
        check.is_drifted = p_adjusted <= alpha and check.value >= check.limit


def _verdict(checks: Sequence[Check]) -> Verdict:
    if any(check.is_drifted for check in checks):
        return "drifted"
    return "stable" if any(check.what == "distribution" for check in checks) else "not_enough"


def _verdict_of_window(columns: Sequence[ColumnJudgement]) -> Verdict:
    verdicts = {column.verdict for column in columns}
    if "drifted" in verdicts:
        return "drifted"
    return "stable" if "stable" in verdicts else "not_enough"


def _column(column: Column, values: Sequence[Any], limits: Limits) -> ColumnJudgement:
    compared = _Numbers(column, values) if column.kind == "number" else _Values(column, values)
    n, n_reference = len(values), column.n_present + column.n_missing
    found = ColumnJudgement(
        name=column.name,
        title=column.title,
        kind=column.kind,
        is_score=column.is_score,
        verdict="not_enough",
        n_present=compared.n_present,
        n_reference=n_reference,
        checks=[],
        bins=compared.bins(),
        missing=_share(n - compared.n_present, n),
        reference_missing=_share(column.n_missing, n_reference),
    )
    if compared.n_present >= LEAST_PRESENT and column.n_present >= LEAST_PRESENT:
        found.checks.append(compared.check(limits.effect(column), found))
    if n:
        found.checks += _shares(column, compared, n, n_reference, limits.share)
    found.strength = max((check.strength for check in found.checks), default=0.0)
    return found


def _shares(
    column: Column, compared: "_Numbers | _Values", n: int, n_reference: int, limit: float
) -> Iterator[Check]:
    yield _share_check("missing", column.n_missing, n_reference, n - compared.n_present, n, limit)
    if compared.n_unseen is not None:
        # I. J. Good, Biometrika 40 (1953): what was met once only tells how much of the next rows is new.
        yield _share_check("unseen", column.counts.count(1), n_reference, compared.n_unseen, n, limit)
    if column.seen is not None:
        outside = n_outside(compared.numbers, column.seen)
        yield _share_check("out_of_range", column.n_out_of_range, n_reference, outside, n, limit)


def _share_check(what: Any, n_before: int, of_before: int, n_now: int, of_now: int, limit: float) -> Check:
    """Fewer missing values are a change as well; fewer unseen ones are none."""
    before, now = _share(n_before, of_before), _share(n_now, of_now)
    only_more = what != "missing"
    return Check(
        what=what,
        test="fisher",
        measure="share",
        value=max(0.0, now - before) if only_more else abs(now - before),
        limit=limit,
        p_value=statistics.share_p_value(n_before, of_before, n_now, of_now, only_more=only_more),
        reference=before,
        window=now,
    )


def _of(column: Column, values: Sequence[Any]) -> np.ndarray:
    """The window's numbers, without what serving's rounding has added to them."""
    return nearest(numbers(values), column.values, column.tolerance)  # type: ignore[arg-type]


class _Numbers:
    """A continuous column: ordered samples."""

    n_unseen = None

    def __init__(self, column: Column, values: Sequence[Any]) -> None:
        self._column = column
        self.numbers = _of(column, values)
        self._present = self.numbers[~np.isnan(self.numbers)]
        self._reference = np.repeat(np.asarray(column.values, dtype=np.float64), column.counts)
        self.n_present = len(self._present)

    def check(self, limit: float, found: ColumnJudgement) -> Check:
        """Significance by Kolmogorov and Smirnov; effect by distance, for scores by stability index."""
        found.ks, p_value = statistics.ks(self._reference, self._present)
        found.psi = statistics.psi(*self._counts(self._column.psi_edges))
        found.wasserstein = statistics.wasserstein(self._reference, self._present, self._column.spread)
        if self._column.is_score:
            return Check("distribution", "ks", "psi", found.psi, limit, p_value)
        return Check("distribution", "ks", "wasserstein", found.wasserstein, limit, p_value)

    def _counts(self, edges: Sequence[float]) -> tuple[list[int], list[int]]:
        """Rows in each bin of both; a bin holds its lower bound."""
        return _binned(self._reference, edges), _binned(self._present, edges)

    def bins(self) -> Bins:
        """Equal steps between the reference's first and last hundredth, the ends open."""
        edges = told_apart(self._column.edges)
        between = [f"{low} – {high}" for low, high in pairwise(edges)]
        reference, window = self._counts(self._column.edges)
        return _bins([f"< {edges[0]}", *between, f"≥ {edges[-1]}"], reference, window)


def _binned(values: np.ndarray, edges: Sequence[float]) -> list[int]:
    places = np.searchsorted(np.asarray(edges), values, side="right")
    return np.bincount(places, minlength=len(edges) + 1).tolist()


class _Values:
    """A category or a number of few values. What the reference does not list is drawn as one bin."""

    def __init__(self, column: Column, values: Sequence[Any]) -> None:
        is_number = column.kind == "discrete"
        self._column = column
        self.numbers = _of(column, values) if is_number else np.empty(0)
        present = self.numbers[~np.isnan(self.numbers)].tolist() if is_number else categories(values)
        counted = Counter(present)
        self._window = [counted.pop(value, 0) for value in column.values]
        self._others = counted
        self._n_other = counted.total()
        self.n_present = len(present)
        self.n_unseen = None if is_number or column.n_rest else self._n_other

    def check(self, limit: float, found: ColumnJudgement) -> Check:
        """Significance by chi-square, effect by stability index."""
        reference, window = self._cells()
        found.psi = statistics.psi(reference, window)
        return Check(
            "distribution", "chi_square", "psi", found.psi, limit, statistics.chi_square(reference, window)
        )

    def _cells(self) -> tuple[list[int], list[int]]:
        """Rows of both by value, as the test wants them: cells that nobody chose by what one side holds.

        Values that only the window has are one cell each, as those are that only the reference has. Where it
        does not list its rarest, the listed ones that are nearly as rare are there by luck: what is too rare
        for a cell of its own is in the buckets then, listed or not.
        """
        column = self._column
        listed = list(zip(column.values, column.counts, self._window, strict=True))
        if not column.rest:
            return [*column.counts, *[0] * len(self._others)], [*self._window, *self._others.values()]
        n_least = min(column.n_present, self.n_present)
        least = statistics.LEAST_EXPECTED * (column.n_present + self.n_present) / n_least
        own = [(n_before, n_now) for _value, n_before, n_now in listed if n_before + n_now >= least]
        rare = [one for one in listed if one[1] + one[2] < least]
        before = in_buckets((value, n_before) for value, n_before, _n_now in rare)
        now = in_buckets([*((value, n_now) for value, _n_before, n_now in rare), *self._others.items()])
        cells = [*own, *zip(map(sum, zip(before, column.rest, strict=True)), now, strict=True)]
        return [n_before for n_before, _n_now in cells], [n_now for _n_before, n_now in cells]

    def bins(self) -> Bins:
        """The commonest values of the reference, those of a number in order; all others together."""
        shown = slice(None if self._column.kind == "discrete" else MOST_DRAWN)
        reference, window = self._column.counts[shown], self._window[shown]
        others = (
            sum(self._column.counts) - sum(reference) + self._column.n_rest,
            sum(self._window) - sum(window) + self._n_other,
        )
        labels = self._column.labels[shown]
        if any(others):
            labels, reference, window = [*labels, ""], [*reference, others[0]], [*window, others[1]]
        return _bins(labels, reference, window)


def _bins(labels: list[str], reference: Sequence[int], window: Sequence[int]) -> Bins:
    """A label "" stands for all other values."""
    n_reference, n_window = sum(reference), sum(window)
    return Bins(labels, [_share(n, n_reference) for n in reference], [_share(n, n_window) for n in window])


def _share(n: int, of: int) -> float:
    return n / of if of else 0.0
