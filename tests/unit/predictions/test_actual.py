"""What turned out to be true, as programs write it."""

import math
from types import SimpleNamespace

import pytest

from core.lib.errors import InvalidRequest
from predictions import actions
from tests.unit.scoring import specs

CLASSES = specs.titanic()
TEXTS = specs.titanic(output={"labels": [{"value": "1"}, {"value": "no"}]})
HOUSE = specs.house()


def taken(actual, spec, value=0):
    return actions._checked_actual(actual, SimpleNamespace(value=value), spec)


@pytest.mark.parametrize(
    ("actual", "spec", "found"),
    [
        (1, CLASSES, 1),
        (1.0, CLASSES, 1),
        (True, CLASSES, 1),
        (False, CLASSES, 0),
        ("1", CLASSES, 1),
        ("no", TEXTS, "no"),
        (1, TEXTS, "1"),
        (1.0, TEXTS, "1"),
        (7, HOUSE, 7.0),
        (" 7.25 ", HOUSE, 7.25),
        ("1e3", HOUSE, 1000.0),
        (2**64, HOUSE, 2.0**64),
        ("7.5", None, 7.5),
    ],
)
def test_what_turned_out_is_taken_as_the_spec_has_it(actual, spec, found):
    given = taken(actual, spec)
    assert (given, type(given)) == (found, type(found))


def test_a_class_of_a_version_that_nobody_knows_is_taken_by_its_text():
    assert taken("Dublin", None, value="Lugo") == "Dublin"
    assert taken("1_5", None, value="Lugo") == "1_5"


@pytest.mark.parametrize(
    ("actual", "spec"),
    [
        ("1_5", HOUSE),
        (True, HOUSE),
        ("", HOUSE),
        (None, HOUSE),
        ([1], HOUSE),
        ("nan", HOUSE),
        (math.inf, HOUSE),
        ("1_5", None),
        (0.5, CLASSES),
        ("perhaps", CLASSES),
        (None, CLASSES),
        ([1], CLASSES),
        (2, CLASSES),
        (True, TEXTS),
    ],
)
def test_what_cannot_have_turned_out_is_refused(actual, spec):
    with pytest.raises(InvalidRequest) as error:
        taken(actual, spec)
    assert error.value.errors[0]["field"] == "actual"
