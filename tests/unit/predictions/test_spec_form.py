"""The form as it is drawn from a spec."""

import json

import pytest

from predictions import spec_form
from scoring.check import RowDecoder, RowsInvalid
from scoring.spec import Spec
from scoring.spec_reading import read_spec
from tests.champions import SPEC


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec(json.dumps(SPEC))


def field(drawn: spec_form.PredictForm, name: str) -> spec_form.FormField:
    return next(one for one in drawn.fields if one.name == name)


def test_fields_stand_in_their_groups(spec):
    drawn = spec_form.build(spec, {})
    assert [(name, [one.name for one in fields]) for name, fields in drawn.groups] == [
        ("Ticket", ["Pclass", "Fare", "Embarked"]),
        ("Passenger", ["Sex", "Age", "SibSp", "Parch"]),
    ]


def test_each_kind_of_field_has_its_input(spec):
    drawn = spec_form.build(spec, {"Sex": "male"})
    assert field(drawn, "Sex").kind == "select"
    assert field(drawn, "Sex").options == [("male", "male", True), ("female", "female", False)]
    assert field(drawn, "Embarked").kind == "list"
    assert (field(drawn, "Age").kind, field(drawn, "Age").unit) == ("number", "years")
    assert field(drawn, "Age").is_optional
    assert field(drawn, "Age").seen == "0.4 to 80 seen"


def test_derived_values_are_worked_out_once_the_row_can_be_read(spec):
    assert spec_form.build(spec, spec_form.example(spec)).derived == [("family size", "2")]
    assert spec_form.build(spec, {"SibSp": "1"}).derived == []


def test_a_value_outside_what_was_seen_warns_before_it_is_sent(spec):
    assert field(spec_form.build(spec, {"Parch": "9"}), "Parch").warning.startswith("More than any")
    assert field(spec_form.build(spec, {"Age": "0.1"}), "Age").warning.startswith("Less than any")
    assert field(spec_form.build(spec, {"Embarked": "X"}), "Embarked").warning
    assert field(spec_form.build(spec, {"Parch": "nine"}), "Parch").warning == ""


def test_an_error_stands_at_its_field_without_the_fields_name(spec):
    typed = {**spec_form.example(spec), "Age": "abc"}
    with pytest.raises(RowsInvalid) as refused:
        RowDecoder(spec).decode_form(typed)
    drawn = spec_form.build(spec, typed, errors=refused.value.errors)
    assert [one.name for one in drawn.errors] == ["Age"]
    assert field(drawn, "Age").error.startswith("Write a number")
    assert field(drawn, "Age").value == "abc"


def test_inputs_are_shown_in_the_words_of_the_spec(spec):
    shown = dict(spec_form.shown_inputs(spec, {**SPEC["example"], "Age": None}))
    assert shown["Class"] == "3."
    assert shown["Age"] == "–"
    assert shown["Fare"] == "7.25 £"


def test_an_outcome_is_shown_by_its_label(spec):
    assert spec_form.shown_outcome(spec, 1) == "Survived"
