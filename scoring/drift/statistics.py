"""The formulas. Samples hold no missing values; counts are those of the same bins in the same order."""

import heapq
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

# W. G. Cochran, "Some Methods for Strengthening the Common χ² Tests", Biometrics 10 (1954): below five
# expected rows in a cell the chi-square distribution is no longer a good approximation.
LEAST_EXPECTED = 5.0


def ks(reference: ArrayLike, window: ArrayLike) -> tuple[float, float]:
    """The largest distance of the two distribution functions, and the p-value of the two-sided test.

    Some ten rows a side at least. With ties the p-value is too large, never too small: alarms are missed
    rather than made up.
    Source: F. J. Massey, J. Am. Stat. Assoc. 46 (1951); ties: G. E. Noether, Metrika 7 (1963).
    """
    found = stats.ks_2samp(reference, window, method="asymp")
    return float(found.statistic), _share(found.pvalue)


def wasserstein(reference: ArrayLike, window: ArrayLike, spread: float) -> float:
    """The mean distance that values have to move from one sample to the other, in units of `spread`.

    spread: the reference's standard deviation, above 0; never the window's, which a shift changes too.
    Source: L. N. Vaserstein, Probl. Inf. Transm. 5 (1969).
    """
    return float(stats.wasserstein_distance(reference, window) / spread)


def psi(reference: Sequence[int], window: Sequence[int]) -> float:
    """Population stability index: 0 is no shift, no upper bound; 0.1 and 0.25 are the customary marks.

    Of bins pooled as for chi-square, less what sampling adds: with n and N rows of one distribution over
    k bins the plain index is (1/n + 1/N) times a chi-square of k - 1 degrees of freedom, whose mean is k - 1.
    No share counts as less than half a row of the smaller side, which could not show it. Raises ValueError
    when a side has no rows.
    Source: N. Siddiqi, Credit Risk Scorecards, Wiley 2006 (stability index); B. Yurdakul, J. Naranjo, J. Risk
    Model Valid. 14 (2020) (its distribution).
    """
    n_before, n_now = sum(reference), sum(window)
    if not n_before or not n_now:
        raise ValueError("a side has no rows")
    table = np.hstack(_pooled(reference, window))
    before, now = np.maximum(table / [[n_before], [n_now]], 0.5 / min(n_before, n_now))
    by_chance = (table.shape[1] - 1) * (1 / n_before + 1 / n_now)
    return max(0.0, float(np.sum((now - before) * np.log(now / before))) - by_chance)


def chi_square(reference: Sequence[int], window: Sequence[int]) -> float:
    """p-value of Pearson's test that both counts come from one distribution; 1 when one category is left.

    Categories with fewer than five expected rows on a side are pooled, the rarest first (Cochran 1954); a
    table of two by two gets Yates's correction. Where even all of those together are too few, they are tested
    against the rest by Fisher's exact test, and the smaller of the two p-values counts twice (Bonferroni).
    Source: K. Pearson, Phil. Mag. 50 (1900).
    """
    large, rare = _pooled(reference, window)
    p_values = []
    if large.shape[1] > 1 and large.sum(axis=1).all():
        p_values.append(stats.chi2_contingency(large).pvalue)
    if large.size and rare.size:
        n_before, n_now = rare[:, 0].tolist()
        p_values.append(share_p_value(n_before, sum(reference), n_now, sum(window)))
    return _share(len(p_values) * min(p_values)) if p_values else 1.0


def _pooled(reference: Sequence[int], window: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Cells as columns: those large enough, and none or one that all those too rare make up when it is not.

    The rare are joined with each other, never with a large one: there a rare value that spreads would only
    fill up what the large one lost. By their sizes alone: the test holds for any joining that does not look
    at how a cell is split. Of equal ones the order is drawn, since they may come by their share of one side.
    """
    table = np.asarray([reference, window], dtype=np.int64)
    table = table[:, table.sum(axis=0) > 0]
    least = LEAST_EXPECTED * table.sum() / max(int(table.sum(axis=1).min(initial=table.sum())), 1)
    ties = np.random.default_rng(0).permutation(table.shape[1]).tolist()
    cells = [(sum(cell), tie, cell) for tie, cell in zip(ties, table.T.tolist(), strict=True)]
    large = [cell for cell in cells if cell[0] >= least]
    rare = [cell for cell in cells if cell[0] < least]
    heapq.heapify(rare)
    while len(rare) > 1 and rare[0][0] < least:
        size, tie, (before, now) = heapq.heappop(rare)
        next_size, _tie, (next_before, next_now) = rare[0]
        heapq.heapreplace(rare, (size + next_size, tie, [before + next_before, now + next_now]))
    if rare and rare[0][0] < least:
        return _columns(large), _columns(rare)
    return _columns([*large, *rare]), _columns([])


def _columns(cells: list[tuple[int, int, list[int]]]) -> np.ndarray:
    """The smallest first."""
    return np.asarray([cell for _size, _tie, cell in sorted(cells)], dtype=np.int64).reshape(-1, 2).T


def share_p_value(
    n_before: int, of_before: int, n_now: int, of_now: int, *, only_more: bool = False
) -> float:
    """p-value that `n_now` of `of_now` rows is the share that it was before: exact, however rare.

    only_more: ask only whether there are more. Source: R. A. Fisher, J. R. Stat. Soc. 85 (1922).
    """
    table = [[n_now, of_now - n_now], [n_before, of_before - n_before]]
    alternative = "greater" if only_more else "two-sided"
    return _share(stats.fisher_exact(table, alternative=alternative).pvalue)


def corrected(p_values: Sequence[float]) -> list[float]:
    """p-values corrected together: alarms at level alpha hold at most a share alpha of false ones.

    Source: Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57 (1995); for tests that depend on each other
    positively, as those of one column do: Y. Benjamini, D. Yekutieli, Ann. Stat. 29 (2001).
    """
    if not p_values:
        return []
    return [float(p) for p in stats.false_discovery_control(np.asarray(p_values), method="bh")]


def _share(p_value: float) -> float:
    """Within 0..1, whatever rounding has done to it."""
    return min(1.0, max(0.0, float(p_value)))
