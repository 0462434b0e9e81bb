"""The formulas against values worked by hand and against scipy's plain calls."""

import math

import numpy as np
import pytest
from scipy import stats

from scoring.drift import statistics


def test_psi_by_hand():
    """Shares 0.5, 0.5 to 0.8, 0.2: 0.3 ln 1.6 - 0.3 ln 0.4, less a hundredth for each side's sampling."""
    plain = 0.3 * math.log(1.6) - 0.3 * math.log(0.4)
    assert statistics.psi([50, 50], [80, 20]) == pytest.approx(plain - 0.02)


def test_psi_of_the_same_shares_is_nothing():
    assert statistics.psi([10, 30, 60], [100, 300, 600]) == pytest.approx(0)


def test_an_empty_bin_counts_as_half_a_row_in_psi():
    plain = (0.005 - 0.5) * math.log(0.005 / 0.5) + (1 - 0.5) * math.log(1 / 0.5)
    assert statistics.psi([50, 50], [0, 100]) == pytest.approx(plain - 0.02)


def test_a_bin_that_is_empty_on_both_sides_says_nothing_in_psi():
    assert statistics.psi([0, 50, 50], [0, 5, 5]) == pytest.approx(0)


def test_rare_values_are_pooled_in_psi():
    """The last two, of whom three in a hundred are expected, go together: three bins are left."""
    plain = 0.2 * math.log(6) - 0.2 * math.log(7 / 9)
    assert statistics.psi([90, 4, 3, 3], [70, 24, 1, 5]) == pytest.approx(plain - 2 * 0.02)


def zipf(n_values: int) -> np.ndarray:
    """Shares of the commonest, the next and so on, as of places or products."""
    shares = 1 / np.arange(1, n_values + 1)
    return shares / shares.sum()


@pytest.mark.parametrize(("n_values", "n_rows"), [(10, 100), (10, 500), (50, 500), (200, 500), (50, 100)])
def test_psi_of_the_same_distribution_stays_under_its_limit(n_values, n_rows):
    """However many values there are; 0.1 is the least that counts."""
    dice = np.random.default_rng(4)
    shares = zipf(n_values)
    found = [
        statistics.psi(dice.multinomial(20_000, shares), dice.multinomial(n_rows, shares)) for _ in range(200)
    ]
    assert np.mean(found) < 0.03
    assert np.mean(np.asarray(found) >= 0.1) <= 0.1


def test_psi_of_a_sample_is_that_of_the_distributions_in_the_mean():
    """Against the plain sum over the true shares, where every bin is filled well."""
    shares = zipf(30)
    moved = 0.9 * shares + 0.1 * np.eye(30)[3]
    true = float(np.sum((moved - shares) * np.log(moved / shares)))
    dice = np.random.default_rng(5)
    found = [
        statistics.psi(dice.multinomial(20_000, shares), dice.multinomial(1_000, moved)) for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(true, rel=0.05)


def test_what_sampling_adds_to_psi_is_as_drawn():
    """The mean of the plain sum over samples of one distribution, which no formula was asked for."""
    dice = np.random.default_rng(6)
    before, now = (dice.multinomial(n, [0.1] * 10, 4_000) / n for n in (2_000, 500))
    drawn = np.mean(np.sum((now - before) * np.log(now / before), axis=1))
    assert drawn == pytest.approx(9 * (1 / 2_000 + 1 / 500), rel=0.05)


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
    """The last three, each with fewer than the fifteen rows that are least, are one column."""
    found = statistics.chi_square([300, 100, 4, 5, 3], [180, 20, 6, 3, 5])
    assert found == pytest.approx(stats.chi2_contingency([[300, 100, 12], [180, 20, 14]]).pvalue)


def test_what_is_too_rare_even_together_is_tested_against_the_rest():
    """Five rows of the last two, where fifteen are least."""
    large = stats.chi2_contingency([[300, 100], [180, 20]]).pvalue
    rare = stats.fisher_exact([[3, 2], [400, 200]]).pvalue
    assert large < rare
    assert statistics.chi_square([300, 100, 1, 2], [180, 20, 2, 0]) == pytest.approx(2 * large)


RARE = [([19_990, 10], [375, 125]), ([12_000, 7_990, 10], [210, 140, 150]), ([20_000, 0], [400, 100])]


@pytest.mark.parametrize(("before", "now"), RARE)
def test_a_rare_value_that_spreads_is_found(before, now):
    """Such as a flag that was set in ten of 20,000 rows, then in every fourth: never joined with the rest."""
    exact = stats.fisher_exact([[before[-1], now[-1]], [sum(before[:-1]), sum(now[:-1])]]).pvalue
    n_tests = len(before) - 1
    assert statistics.chi_square(before, now) == pytest.approx(n_tests * exact, rel=1e-6)
    assert statistics.psi(before, now) > 0.5


def test_a_share_below_half_a_row_of_the_smaller_side_counts_as_that_in_psi():
    """Ten of 20,000 are half a thousandth, which 500 rows cannot show: as half a row of theirs."""
    plain = 0.249 * math.log(250) + (0.75 - 0.9995) * math.log(0.75 / 0.9995)
    assert statistics.psi([19_990, 10], [375, 125]) == pytest.approx(plain - 1 / 20_000 - 1 / 500)


@pytest.mark.parametrize("n_rows", [100, 500])
@pytest.mark.parametrize("n_reference", [300, 5_000, 20_000])
def test_rare_values_do_not_drift_by_luck(n_rows, n_reference):
    """Of two and three values, the last in one to three of a hundred rows or far fewer; one table in a
    hundred may be significant, fewer have an effect that counts as well.
    """
    dice = np.random.default_rng(8)
    found = []
    for rare in (0.0005, 0.002, 0.01, 0.03):
        for rest in ([1.0], [0.6, 0.4]):
            shares = [*(share * (1 - rare) for share in rest), rare]
            for _ in range(50):
                sides = [dice.multinomial(n, shares).tolist() for n in (n_reference, n_rows)]
                found.append((statistics.chi_square(*sides), statistics.psi(*sides)))
    assert sum(p_value <= 0.01 for p_value, _psi in found) <= 8
    assert sum(p_value <= 0.01 and psi >= 0.1 for p_value, psi in found) <= 2


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


def test_chi_square_does_not_mind_the_order_of_its_columns():
    """A summary lists the commonest of the reference first: joined in that order they would look apart."""
    dice = np.random.default_rng(7)
    p_values = []
    for _ in range(200):
        before, now = (dice.multinomial(n, [1 / 200] * 200) for n in (5_000, 500))
        order = np.argsort(-before, kind="stable")
        p_values.append(statistics.chi_square(before[order].tolist(), now[order].tolist()))
    assert np.mean(np.asarray(p_values) < 0.01) <= 0.03


def test_corrected_by_hand():
    """Sorted p times n over rank, never above a later one."""
    assert statistics.corrected([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert statistics.corrected([]) == []
