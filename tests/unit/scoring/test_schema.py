"""Whether callers of the champion can go on with the candidate."""

import json

import pytest

from scoring import schema
from scoring.spec import Spec
from scoring.spec_reading import read_spec
from tests.unit.scoring import specs


def changed(index: int, **changes: object) -> Spec:
    plain = specs.house_plain()
    plain["fields"][index] |= changes
    plain["derived"] = []
    return read_spec(json.dumps(plain))


def test_spec_is_compatible_with_itself():
    assert schema.breaks(specs.titanic(), specs.titanic()) == []


@pytest.mark.parametrize(
    "candidate",
    [
        changed(0, type="number"),
        changed(1, required=False, nullable=True),
        changed(0, max=90),
        changed(0, min=None),
    ],
)
def test_wider_field_breaks_nobody(candidate):
    assert schema.breaks(specs.house(), candidate) == []


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (changed(0, max=9), "rooms has narrower bounds"),
        (changed(1, type="integer"), "area was number and is integer"),
        (changed(1, name="surface"), "area is gone"),
        (changed(1, name="surface"), "surface is new and required"),
        (changed(2, choices={"values": [{"value": "Lugo"}]}), "town no longer takes values outside its list"),
        (specs.house(output={"unit": "USD"}), "its answer is in USD, the champion's in EUR"),
        (specs.titanic(), "it answers a classification, the champion a regression"),
    ],
)
def test_narrower_spec_says_what_breaks(candidate, message):
    assert message in schema.breaks(specs.house(), candidate)


def test_lost_choice_and_lost_label_are_named():
    plain = specs.titanic_plain(output={"labels": [{"value": n} for n in range(3)]})
    plain["fields"][0]["choices"]["values"].pop()
    plain["example"]["Pclass"] = 1
    found = schema.breaks(specs.titanic(), read_spec(json.dumps(plain)))
    assert found == ["it answers 0, 1, 2, the champion 0, 1", "Pclass no longer takes 3"]
