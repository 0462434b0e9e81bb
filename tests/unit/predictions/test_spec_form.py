"""The form as it is drawn from a spec."""

import json

import pytest
from django.utils.translation import override

from predictions import spec_form
from predictions.spec_form import PredictForm
from scoring.check import RowDecoder
from scoring.spec import Spec
from scoring.spec_reading import read_spec
from tests.champions import ROW, SPEC
from tests.unit.scoring import specs

TYPED = {name: str(value) for name, value in ROW.items()}
TITANIC = RowDecoder(specs.titanic())


@pytest.fixture(scope="module")
def spec() -> Spec:
    return read_spec(json.dumps(SPEC))


@pytest.fixture(scope="module")
def decoder(spec) -> RowDecoder:
    return RowDecoder(spec)


def test_fields_stand_in_their_groups(decoder):
    groups = PredictForm(decoder).groups
    assert [(title, [one.name for one in fields]) for title, fields in groups] == [
        ("Ticket", ["Pclass", "Fare", "Embarked"]),
        ("Passenger", ["Sex", "Age", "SibSp", "Parch"]),
    ]


def test_each_kind_of_field_has_its_input(decoder):
    form = PredictForm(decoder, given={"Sex": "male"})
    assert '<option value="male" selected>male</option>' in form["Sex"].as_widget()
    assert '<option value="">Choose</option>' not in form["Sex"].as_widget()
    assert '<option value="" selected>Choose</option>' in form["Pclass"].as_widget()
    assert 'list="id_Embarked_list"' in form["Embarked"].as_widget()
    assert [option.sent for option in form["Embarked"].described.suggested] == ["C", "Q", "S"]
    assert 'inputmode="decimal"' in form["Age"].as_widget()
    assert 'inputmode="numeric"' in form["SibSp"].as_widget()
    assert form["Age"].described.unit == "years"
    assert not form["Age"].field.required
    assert form["Age"].seen == "0.4 to 80 seen"


def test_derived_values_are_worked_out_once_the_row_can_be_read(spec, decoder):
    assert PredictForm(decoder, given=spec.example).derived == [("family size", "2")]
    assert PredictForm(decoder, TYPED).derived == [("family size", "2")]
    assert PredictForm(decoder, given={"SibSp": 1}).derived == []
    assert PredictForm(decoder, {**TYPED, "Age": "abc"}).derived == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("Parch", "9", "Outlier: more than any seen in training (0 to 6)"),
        ("Age", "0.1", "Outlier: less than any seen in training (0.4 to 80)"),
        ("Embarked", "X", "The model has not seen this value."),
        ("Embarked", "S", ""),
        ("Parch", "nine", ""),
    ],
)
def test_a_value_outside_what_was_seen_warns_before_it_is_sent(spec, decoder, name, text, words):
    assert PredictForm(decoder, {name: text})[name].warning == words
    assert PredictForm(decoder, given=spec_form.from_texts(spec, {name: text}))[name].warning == words


def test_an_error_stands_at_its_field_without_the_fields_name(decoder):
    form = PredictForm(decoder, {**TYPED, "Age": "abc", "Sex": "x", "Embarked": "l" * 2000})
    assert form.rows is None
    assert set(form.errors) == {"Age", "Sex", "Embarked"}
    assert form.errors["Age"] == ["Write a number, such as 7.25."]
    assert form.errors["Embarked"] == ["Is too long: 2000 characters, at most 1000"]
    assert 'value="abc"' in form["Age"].as_widget()


def test_the_form_gives_the_same_row_as_json():
    typed = {"Pclass": "3", "Sex": "male", "Age": " 22 ", "SibSp": "1", "Parch": "0", "Fare": "7.25",
             "Embarked": "S", "Title": "Mr", "csrfmiddlewaretoken": "x"}  # fmt: skip
    as_json = TITANIC.decode(json.dumps({"rows": [specs.titanic_row()]}).encode()).inputs
    assert PredictForm(TITANIC, typed).rows.inputs == as_json
    assert list(map(type, PredictForm(TITANIC, typed).rows.inputs[0].values())) == list(
        map(type, as_json[0].values())
    )
    ticked = PredictForm(TITANIC, typed | {"HasCabin": "on", "Age": "", "Embarked": ""}).rows.inputs[0]
    assert (ticked["HasCabin"], ticked["Age"], ticked["Embarked"]) == (True, None, None)


def test_all_faults_of_a_row_are_told_at_once():
    form = PredictForm(
        TITANIC, {"Pclass": "", "Sex": "male", "Age": "old", "SibSp": "1", "Parch": "nan", "Title": "Mr"}
    )
    assert form.errors == {
        "Pclass": ["This is required: fill it in."],
        "Age": ["Write a number, such as 7.25."],
        "Parch": ["Write a number, such as 7.25."],
    }


def test_inputs_are_shown_in_the_words_of_the_spec(spec):
    shown = dict(spec_form.shown_inputs(spec, {**SPEC["example"], "Age": None}))
    assert shown["Class"] == "3."
    assert shown["Age"] == "–"
    assert shown["Fare"] == "7.25 £"


def test_an_outcome_is_shown_by_its_label(spec):
    assert spec_form.shown_outcome(spec, 1) == "Survived"


@pytest.mark.parametrize(
    ("language", "value", "text"),
    [
        ("en", 1234567.25, "1234567.25"),
        ("es", 1234567.25, "1234567,25"),
        ("en", 22.0, "22"),
        ("en", 22, "22"),
        ("en", True, "yes"),
        ("en", float("nan"), "–"),
    ],
)
def test_what_was_given_is_shown_with_all_its_digits(language, value, text):
    with override(language):
        assert spec_form.shown_inputs(None, {"x": value}) == [("x", text)]


def test_a_warning_tells_its_bounds_with_all_their_digits():
    plain = specs.house_plain(derived=[], slices=[])
    plain["fields"][1]["seen"] = [20, 1_000_000.5]
    form = PredictForm(
        RowDecoder(read_spec(json.dumps(plain))), {"rooms": "3", "area": "1000001", "town": "Lugo"}
    )
    assert form.warning("area") == "Outlier: more than any seen in training (20 to 1000000.5)"
    assert form["area"].seen == "20 to 1000000.5 seen"
