"""Where the values of a metric's history stand, and what its ends are called."""

import re
from datetime import UTC, datetime

import pytest

from models_registry.mlflow_types import Point
from models_registry.templatetags.registry import metric_chart

AT = datetime(2026, 3, 1, tzinfo=UTC)
LEFT, RIGHT, TOP, BASE = 64.0, 628.0, 10.0, 156.0


def drawn(*values):
    """The places of the line's points, and the two labels beneath."""
    chart = metric_chart([Point(step, value, AT) for step, value in values], "loss")
    line = re.search(r'points="([^"]*)"', chart)[1]
    places = [tuple(float(part) for part in place.split(",")) for place in line.split()]
    return places, re.findall(r"(?:step|value) -?\d+", chart)


def test_steps_with_two_values_keep_their_places_and_names():
    places, names = drawn((0, 1.0), (100, 0.5), (100, 0.0))
    assert places == [(LEFT, TOP), (RIGHT, (TOP + BASE) / 2), (RIGHT, BASE)]
    assert names == ["step 0", "step 100"]


def test_steps_that_were_logged_in_another_order_are_drawn_in_theirs():
    places, names = drawn((30, 0.0), (10, 1.0), (20, 0.5))
    assert places == [(LEFT, TOP), ((LEFT + RIGHT) / 2, (TOP + BASE) / 2), (RIGHT, BASE)]
    assert names == ["step 10", "step 30"]


def test_values_that_are_all_of_one_step_stand_in_their_order_and_are_no_steps():
    places, names = drawn((0, 1.0), (0, 0.5), (0, 0.0))
    assert [x for x, _y in places] == [LEFT, (LEFT + RIGHT) / 2, RIGHT]
    assert names == ["value 1", "value 3"]


@pytest.mark.parametrize("extreme", [1e308, 1.7e308, 5e-324])
def test_the_largest_and_the_least_values_have_places(extreme):
    places, _names = drawn((0, -extreme), (1, extreme))
    assert all(TOP <= y <= BASE for _x, y in places)
