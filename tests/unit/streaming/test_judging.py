"""Limits of anomaly rules, against numbers worked out by scipy."""

import numpy as np
import pytest
from scipy import stats

from streaming import judging
from streaming.definition import AnomalyRule

N_BEFORE = 40


def robust(n=50, k=2.8):
    return AnomalyRule("robust_z", "x", n=n, k=k)


@pytest.mark.parametrize("n_before", [0, 29, 30, 49, 50, 200])
def test_median_and_mad_are_scipys_over_the_events_before(n_before):
    rng = np.random.default_rng(7)
    series = np.round(rng.lognormal(1.0, 0.8, n_before + 260), 2)
    rule = robust()
    found = judging.by_robust_z(rule, series[:n_before][-rule.n :], series[n_before:])
    n_judged = 0
    for place, end in enumerate(range(n_before, len(series))):
        window = series[max(0, end - rule.n) : end]
        if len(window) < 30:
            assert np.isnan(found.limit[place])
            continue
        mad = stats.median_abs_deviation(window)
        assert found.expected[place] == pytest.approx(np.median(window), rel=1e-12)
        assert found.limit[place] == pytest.approx(np.median(window) + 2.8 * 1.4826 * mad, rel=1e-12)
        n_judged += 1
    assert n_judged == len(series) - max(30, n_before)


def test_the_scale_is_that_of_normal_numbers():
    """1.4826 is scipy's own constant, to its digits."""
    values = np.random.default_rng(1).normal(0, 1, 1_000)
    wanted = stats.median_abs_deviation(values, scale="normal")
    assert judging.NORMAL * stats.median_abs_deviation(values) == pytest.approx(wanted, rel=1e-4)


def test_an_event_never_counts_for_its_own_limit():
    before = np.arange(50.0)
    small = judging.by_robust_z(robust(), before, np.array([1.0]))
    large = judging.by_robust_z(robust(), before, np.array([1e9]))
    assert small.limit == large.limit
    assert (bool(small.is_hit[0]), bool(large.is_hit[0])) == (False, True)


def test_batches_make_no_difference():
    series = np.random.default_rng(3).normal(10, 2, 400)
    rule = robust()
    whole = judging.by_robust_z(rule, series[:0], series)
    parts = []
    for at in range(0, 400, 37):
        before = series[:at][-rule.n :]
        parts.append(judging.by_robust_z(rule, before, series[at : at + 37]).limit)
    np.testing.assert_array_equal(np.concatenate(parts), whole.limit)


def test_values_that_do_not_vary_give_no_limit():
    found = judging.by_robust_z(robust(), np.zeros(N_BEFORE), np.array([5.0]))
    assert found.expected[0] == 0
    assert np.isnan(found.limit[0])
    assert not found.is_hit[0]


def test_a_prediction_and_a_threshold():
    rule = AnomalyRule("model", "x", model="m")
    found = judging.by_prediction(rule, np.array([4.0, 3.7, 9.0]), np.array([1.0, 1.0, np.nan]), 1.0)
    assert found.is_hit.tolist() == [True, False, False]
    found = judging.by_threshold(AnomalyRule("threshold", "x", limit=3.0), np.array([3.0, 3.0001]))
    assert found.is_hit.tolist() == [False, True]
