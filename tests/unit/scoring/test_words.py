"""Numbers in sentences and under bars: with the digits that tell them apart."""

import numpy as np
import pytest

from scoring.words import plain, told_apart


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1_000_001, "1000001"),
        (1_000_001.0, "1000001"),
        (512.3292, "512.3292"),
        (-0.5, "-0.5"),
        (2.0**53, "9007199254740992.0"),
        (1e300, "1e+300"),
        (1e-7, "1e-07"),
    ],
)
def test_a_number_keeps_all_its_digits(number, text):
    assert plain(number) == text


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([121.473, 121.4823, 121.4916], ["121.473", "121.4823", "121.4916"]),  # longitudes of a city
        ([0.0, 10.0, 20.0], ["0", "10", "20"]),
        ([1.234567, 9.876543], ["1.235", "9.877"]),
        ([123_456.0, 223_456.0], ["123500", "223500"]),
        ([1_000_000.0, 1_000_000.25], ["1000000", "1000000.25"]),
        ([1e-9, 2e-9], ["1e-09", "2e-09"]),
        ([2e20, 3e20], ["2e+20", "3e+20"]),
        ([7.0], ["7"]),
        ([], []),
    ],
)
def test_neighbours_are_told_apart(numbers, texts):
    assert told_apart(numbers) == texts


@pytest.mark.parametrize("low", [0.0, 121.473, -5e6, 1e9])
@pytest.mark.parametrize("width", [1e-3, 0.093, 40.0, 3e7])
def test_no_two_bounds_of_bins_look_the_same(low, width):
    texts = told_apart(np.linspace(low, low + width, 11).tolist())
    assert len(set(texts)) == 11
    shown = np.array([float(text) for text in texts])
    assert np.diff(shown) == pytest.approx(width / 10, rel=0.11)
