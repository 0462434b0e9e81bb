"""Which scores count as the same: for compiling, the self-test, what is missing, and drift."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from scoring.spec import Spec

# Compiled trees may differ from the original in the sixth digit; a wrong model differs in the first.
ALIKE = 1e-3
# What is compiled must come closer to the original. ONNX sums float32 over hundreds of trees: 1e-6 is seen.
# A scaler before trees, a real fault, makes it 1e-1.
PROBABILITY_TOLERANCE = 1e-5
PROBABILITY_DIGITS = 6  # behind the decimal point, of what is answered and recorded
RELATIVE_TOLERANCE = 1e-5  # of a regression, as `Scale` measures it
# How many standard deviations count for one value at most, however far from 0 it lies: float32 loses the
# difference between 1,000,000 and 1,000,001, and a model of such values is not the same without it.
MOST_SPREADS = 100
CONSTANT = 1e-9  # a spread below this share of the values is but rounding
FLOAT32 = np.finfo(np.float32)


class Scale(NamedTuple):
    """What a regression's differences are measured by. spread: of its scores; largest: of their sizes."""

    spread: float
    largest: float

    @classmethod
    def of(cls, scores: ArrayLike) -> "Scale":
        """scores: of many rows as they come; those that are no number are left out."""
        found = np.asarray(scores, np.float64)
        found = found[np.isfinite(found)]
        if not len(found):
            return cls(0.0, 0.0)
        return cls(float(np.std(found)), float(np.max(np.abs(found))))

    def at(self, values: np.ndarray) -> np.ndarray:
        """Of what a difference is a share, value by value: its size, at least one spread and at most 100.

        Where all scores are the same, their size.
        """
        if self.spread <= CONSTANT * self.largest:
            return np.full(len(values), max(self.largest, float(FLOAT32.tiny)))
        return np.clip(np.abs(values), self.spread, MOST_SPREADS * self.spread)


def is_alike(spec: Spec, found: np.ndarray, stored: np.ndarray, among: ArrayLike) -> np.ndarray:
    """Row by row: whether a score is the one that training stored, perhaps as float32.

    among: scores of many rows, which tell how far apart those of a regression lie.
    """
    if spec.class_values:
        return np.isclose(found, stored, rtol=ALIKE, atol=ALIKE)
    allowed = ALIKE * Scale.of(among).at(stored) + FLOAT32.eps * np.abs(stored)
    return np.asarray(np.abs(found - stored) <= allowed)
