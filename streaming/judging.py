"""Where the limit of an anomaly rule lies for each event. Django-free.

A judgement has three columns, one number an event, in the unit of the rule's field: what was observed, what
was expected (NaN where nothing is), and the limit (NaN where the event cannot be judged).
"""

from typing import NamedTuple

import numpy as np

from streaming.definition import MIN_RULE_N, AnomalyRule

NORMAL = 1.4826  # MAD · this is the standard deviation of normal numbers
ROWS_AT_ONCE = 100  # windows of 5,000 numbers: 4 MB


class Judgement(NamedTuple):
    """observed, expected, limit: shape (n_events,)."""

    observed: np.ndarray
    expected: np.ndarray
    limit: np.ndarray

    @property
    def is_hit(self) -> np.ndarray:
        """Shape (n_events,); what has no limit is none."""
        return self.observed > self.limit


def by_threshold(rule: AnomalyRule, observed: np.ndarray) -> Judgement:
    """The rule's own limit for all."""
    return Judgement(observed, np.full(len(observed), np.nan), np.full(len(observed), rule.limit, float))


def by_prediction(rule: AnomalyRule, observed: np.ndarray, predicted: np.ndarray, sigma: float) -> Judgement:
    """predicted: shape (n_events,), NaN where the model was not asked."""
    return Judgement(observed, predicted, predicted + rule.k * sigma)


def by_robust_z(rule: AnomalyRule, before: np.ndarray, observed: np.ndarray) -> Judgement:
    """Each event against the `n` events before it; with fewer than 30 of them, or none that differ, no limit.

    before: values of the last events, the newest last, at most n. An event never counts for its own limit.
    """
    series = np.concatenate([before, observed])
    ends = np.arange(len(before), len(series))
    expected, mad = np.full(len(observed), np.nan), np.full(len(observed), np.nan)
    for place in np.flatnonzero((ends >= MIN_RULE_N) & (ends < rule.n)):  # the window still fills
        expected[[place]], mad[[place]] = _median_and_mad(series[None, : ends[place]])
    full = np.flatnonzero(ends >= rule.n)
    if len(full):
        windows = np.lib.stride_tricks.sliding_window_view(series, rule.n)
        for at in range(0, len(full), ROWS_AT_ONCE):
            places = full[at : at + ROWS_AT_ONCE]
            expected[places], mad[places] = _median_and_mad(windows[ends[places] - rule.n])
    spread = np.where(mad > 0, NORMAL * mad, np.nan)
    return Judgement(observed, expected, expected + rule.k * spread)


def _median_and_mad(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row."""
    median = np.median(windows, axis=1)
    return median, np.median(np.abs(windows - median[:, None]), axis=1)
