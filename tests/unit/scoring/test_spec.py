"""spec.json: a sound one comes back unchanged, a broken one is told all its faults."""

import json

import pytest

from scoring.spec_reading import SpecError, read_spec
from tests.unit.scoring import specs


def faults(plain: object) -> list[str]:
    with pytest.raises(SpecError) as error:
        read_spec(json.dumps(plain))
    return error.value.faults


def field(**changes: object) -> dict:
    """A spec whose second field, a number, is changed."""
    plain = specs.house_plain()
    plain["fields"][1] |= changes
    return plain


def test_sound_spec_survives_a_round_trip():
    spec = specs.titanic()
    assert read_spec(spec.to_json()) == spec
    assert spec.columns[-5:] == ["Title", "FamilySize", "IsAlone", "PclassFare", "AgeFare"]
    assert spec.text_columns == ["Sex", "Embarked", "Title"]
    assert spec.class_values == [0, 1]
    assert spec.field("Age").seen == (0.42, 80)
    assert not spec.metric_is_error
    assert specs.house().metric_is_error


def test_every_fault_is_listed_at_once():
    plain = specs.titanic_plain(primary_metric="mae", slices=["Age", "Nothing"])
    plain["fields"][2] |= {"min": 5, "max": 1}
    plain["fields"][4]["name"] = "SibSp"
    plain["derived"][0]["expression"] = "Missing + 1"
    plain["example"]["Sex"] = "robot"
    found = "\n".join(faults(plain))
    for part in (
        "primary_metric: 'mae' is not a metric of a classification",
        "slices: 'Age' is not",
        "slices: 'Nothing' is not",
        "min 5 is above max 1",
        "name 'SibSp': used twice",
        "derived FamilySize: uses 'Missing', which is no field",
        'example: Sex must be one of "male", "female", not "robot"',
    ):
        assert part in found


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ([1], "the description must be a JSON object"),
        ({}, "missing required field"),
        (specs.titanic_plain(task="ranking"), "task: Invalid enum value 'ranking'"),
        (specs.titanic_plain(surprise=1), "unknown field `surprise`"),
        (specs.titanic_plain(format=2), "format: Invalid enum value 2"),
        (specs.titanic_plain(fields=[]), "0 of them; there must be 1 to 500"),
        (field(type="date"), "fields[1].type: Invalid enum value 'date'"),
        (field(colour="red"), "fields[1]: Object contains unknown field `colour`"),
        (field(name=""), "name '': it is empty"),
        (field(name="a\tb"), "name 'a\\tb': it holds a control character"),
        (field(name="x" * 251), "longer than 250 characters"),
        (
            field(name="atalaya.label"),
            "name 'atalaya.label': names that begin with atalaya. are the console's own",
        ),
        (field(help="a\x00b"), "fields[1].help: holds a null character"),
        (specs.house_plain(title="\x00"), "title: holds a null character"),
        (
            field(
                type="text",
                seen=None,
                min=None,
                choices={"values": [{"value": "a"}, {"value": "b", "label": "\x00"}]},
            ),
            "fields[1].choices.values[1].label: holds a null character",
        ),
        (
            specs.titanic_plain(output={"labels": [{"value": "\x00"}, {"value": "b"}]}),
            "output.labels[0].value: holds a null character",
        ),
        (field(seen=[5, 1]), "seen starts at 5, above its end 1"),
        (field(required=False), "needs a default, or must be nullable"),
        (field(default=3), "a required field has no use for a default"),
        (field(required=False, default="x"), "default must be a number such as 22.5"),
        (field(choices={"values": [{"value": 1}]}), "choices are for integer and text, not for number"),
        (field(type="text"), "min, max and seen are for numbers, not for text"),
        (field(type="text", choices={"values": []}), "choices: 0 values"),
        (field(type="text", choices={"values": [{"value": 1}]}), "choices must all be of type text"),
        (field(type="text", choices={"values": [{"value": "a"}, {"value": "a"}]}), "a value is there twice"),
        (specs.house_plain(output={"labels": [{"value": 1}]}), "a regression has none"),
        (specs.house_plain(gate=[{"metric": "accuracy", "better_by": 0.1}]), "not a metric of a regression"),
        (specs.house_plain(gate=[{"metric": "mae"}]), "gate[0] (mae): needs either"),
        (
            specs.house_plain(gate=[{"metric": "mae", "better_by": 3}]),
            "better_by must be a share from 0 to 1",
        ),
        (specs.house_plain(gate=[{"metric": "mae", "better_by": 0}] * 2), "demanded twice"),
        (specs.house_plain(gate=[{"metric": "mae", "least": 1}]), "gate[0]: Object contains unknown field"),
        (specs.house_plain(gate=[{"metric": "mae", "better_by": 0}] * 21), "21 demands, at most 20"),
        (specs.house_plain(output={"usual_error": -1}), "must be a finite number, not below 0"),
        (specs.titanic_plain(output={"labels": [{"value": 1}]}), "1 values; there must be 2"),
        (
            specs.titanic_plain(output={"labels": [{"value": 1}, {"value": "b"}]}),
            "all be whole numbers or all",
        ),
        (specs.titanic_plain(example={"Pclass": 1}), "example: Sex is missing"),
        (specs.titanic_plain(example=specs.titanic_row(Deck=1)), "example: 'Deck' is no field"),
    ],
)
def test_fault_is_named(plain, message):
    assert any(message in fault for fault in faults(plain)), faults(plain)


def test_words_may_span_lines():
    text = "In thousands.\r\n\tAs the registry has it.\n"
    assert read_spec(json.dumps(specs.house_plain(description=text))).description == text


def test_a_byte_order_mark_as_editors_write_it_is_no_fault():
    text = "\ufeff" + json.dumps(specs.house_plain())
    assert read_spec(text) == read_spec(text.encode()) == specs.house()


def test_auc_as_the_measure_needs_two_classes():
    labels = [{"value": n} for n in range(3)]
    found = faults(specs.titanic_plain(output={"labels": labels}, primary_metric="roc_auc"))
    assert "primary_metric: roc_auc is for two classes" in found


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[" * 100_000, b" " * (1024 * 1024 + 1)])
def test_what_is_no_json_or_too_large_is_refused(text):
    with pytest.raises(SpecError, match=r"not JSON|larger than"):
        read_spec(text)
