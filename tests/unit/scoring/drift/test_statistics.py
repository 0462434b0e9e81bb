"""The formulas against values worked by hand and against scipy's plain calls."""

import math

import numpy as np
import pytest
from scipy import stats

from scoring.drift import statistics


def test_psi_by_hand():
    """Shares 0.5, 0.5 to 0.8, 0.2: 0.3 ln 1.6 - 0.3 ln 0.4."""
    assert statistics.psi([50, 50], [80, 20]) == pytest.approx(0.3 * math.log(1.6) - 0.3 * math.log(0.4))


def test_psi_of_the_same_shares_is_nothing():
    assert statistics.psi([10, 30, 60], [100, 300, 600]) == pytest.approx(0)


def test_an_empty_bin_counts_as_half_a_row_in_psi():
    expected = (0.005 - 0.5) * math.log(0.005 / 0.5) + (1 - 0.5) * math.log(1 / 0.5)
    assert statistics.psi([50, 50], [0, 100]) == pytest.approx(expected)


def test_a_bin_that_is_empty_on_both_sides_says_nothing_in_psi():
    assert statistics.psi([0, 50, 50], [0, 5, 5]) == pytest.approx(0)


@pytest.mark.parametrize("sides", [([], [1]), ([0, 0], [1, 2]), ([1, 2], [0, 0])])
def test_psi_of_no_rows_is_refused(sides):
    with pytest.raises(ValueError, match="no rows"):
        statistics.psi(*sides)


def test_ks_by_hand():
    """All of one sample lie above three of the other's four values."""
    distance, p_value = statistics.ks([1.0, 2.0, 3.0, 9.0], [4.0, 5.0, 6.0, 7.0])
    assert distance == 0.75
    assert 0 < p_value < 1


def test_ks_is_close_to_the_exact_test_in_the_smallest_windows():
    """The least that is ever compared: thirty rows a side."""
    dice = np.random.default_rng(3)
    one, other = dice.normal(size=30), dice.normal(0.7, size=30)
    exact = stats.ks_2samp(one, other, method="exact")
    assert statistics.ks(one, other) == pytest.approx((exact.statistic, exact.pvalue), abs=0.02)


def test_wasserstein_of_a_shift_is_the_shift_in_spreads():
    values = np.arange(100.0)
    spread = float(np.std(values))
    assert statistics.wasserstein(values, values + 10, spread) == pytest.approx(10 / spread)


def test_chi_square_is_scipys_where_nothing_is_rare():
    table = [[60, 30, 40], [20, 50, 45]]
    assert statistics.chi_square(*table) == pytest.approx(stats.chi2_contingency(table).pvalue)


def test_chi_square_pools_what_is_rare():
    """Two rare categories, joined with the smallest that is not, leave two columns."""
    found = statistics.chi_square([300, 100, 1, 2], [180, 20, 2, 0])
    pooled = [[300, 103], [180, 22]]
    assert found == pytest.approx(stats.chi2_contingency(pooled).pvalue)


@pytest.mark.parametrize(
    "sides", [([5], [9]), ([3, 1], [1, 0]), ([0, 0], [0, 0]), ([], []), ([9, 1], [0, 0])]
)
def test_chi_square_of_what_cannot_differ_says_nothing(sides):
    assert statistics.chi_square(*sides) == 1.0


def test_shares_by_hand():
    """Fisher's tea: all four cups right by chance once in seventy."""
    assert statistics.share_p_value(0, 4, 4, 4, only_more=True) == pytest.approx(1 / 70)


def test_fewer_is_no_news_where_only_more_is():
    assert statistics.share_p_value(50, 100, 0, 100, only_more=True) == pytest.approx(1)
    assert statistics.share_p_value(50, 100, 0, 100) < 1e-9


def test_corrected_by_hand():
    """Sorted p times n over rank, never above a later one."""
    assert statistics.corrected([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert statistics.corrected([]) == []
