"""Rows that come in: what is taken, and what each kind of bad row is told."""

import json
import time
from decimal import Decimal
from difflib import get_close_matches

import msgspec
import numpy as np
import orjson
import pytest

from scoring import check, values
from scoring.check import NotJSON, RowDecoder, RowsInvalid, TooLarge
from scoring.language import Field
from scoring.spec_reading import read_spec
from tests.unit.scoring import specs

NAN_MESSAGE = "Age must be a number: NaN is not allowed; send null, or leave it out, when it is not known"
TITANIC = RowDecoder(specs.titanic())
HOUSE = RowDecoder(specs.house())


def body(*rows: object) -> bytes:
    return json.dumps({"rows": rows}).encode()


def messages(raw: bytes) -> list[tuple[int | None, str | None, str]]:
    with pytest.raises(RowsInvalid) as error:
        TITANIC.decode(raw)
    return [(fault["row"], fault["field"], fault["message"]) for fault in error.value.errors]


def test_sound_row_is_taken_with_gaps_filled_in():
    row = specs.titanic_row()
    del row["Age"], row["Embarked"]
    rows = TITANIC.decode(body(row))
    assert len(rows) == 1
    assert rows.inputs == [specs.titanic_row(Age=None, Embarked=None)]
    assert rows.warnings == [[]]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"Age": "22"}, "Age", 'Age must be a number such as 22.5, not the text "22"'),
        ({"Age": True}, "Age", "Age must be a number such as 22.5, not true"),
        ({"Age": [1]}, "Age", "Age must be a number such as 22.5, not a list"),
        ({"Age": -1}, "Age", "Age must be at least 0, not -1"),
        ({"Age": 121}, "Age", "Age must be at most 120, not 121"),
        ({"Age": float("nan")}, "Age", NAN_MESSAGE),
        ({"Fare": float("inf")}, "Fare", "Fare must be a finite number: this one is infinite or too large"),
        ({"Fare": 1e300}, "Fare", "Fare must be a finite number: this one is infinite or too large"),
        ({"Pclass": 4}, "Pclass", "Pclass must be one of 1, 2, 3, not 4"),
        ({"Pclass": None}, "Pclass", "Pclass must not be null: give a value"),
        ({"SibSp": 1.5}, "SibSp", "SibSp must be a whole number such as 3, not 1.5"),
        ({"SibSp": 10**40}, "SibSp", "SibSp is too large: whole numbers go up to 9007199254740992"),
        ({"Sex": "x"}, "Sex", 'Sex must be one of "male", "female", not "x"'),
        ({"Sex": 1}, "Sex", 'Sex must be text such as "abc", not 1'),
        ({"Sex": ""}, "Sex", "Sex must not be empty: give a value"),
        ({"HasCabin": 1}, "HasCabin", "HasCabin must be true or false, not 1"),
        ({"age": 3}, "age", "age is not a field of this model: did you mean Age?"),
        (
            {"FamilySize": 2},
            "FamilySize",
            "FamilySize is not a field of this model: it is worked out from the fields here, leave it out",
        ),
        ({"zzz": 3}, "zzz", "zzz is not a field of this model: leave it out"),
    ],
)  # fmt: skip
def test_bad_value_is_named_with_its_row_and_how_to_mend_it(changes, field, message):
    assert messages(body(specs.titanic_row(), specs.titanic_row(**changes))) == [(1, field, message)]


@pytest.mark.parametrize(
    ("literal", "word"), [("1e999", "infinite"), ("-Infinity", "infinite"), ("NaN", "NaN")]
)
def test_number_that_json_should_not_hold_is_named_by_its_field(literal, word):
    raw = body(specs.titanic_row(Fare=777)).replace(b"777", literal.encode())
    ((row, field, message),) = messages(raw)
    assert (row, field) == (0, "Fare")
    assert word in message


def test_all_faults_of_all_rows_are_named():
    found = messages(body({"Pclass": 9}, specs.titanic_row(Age="old"), 3))
    assert [(row, field) for row, field, _ in found] == [
        (0, "Pclass"), (0, "Sex"), (0, "SibSp"), (0, "Parch"), (0, "HasCabin"), (0, "Title"),
        (1, "Age"), (2, None),
    ]  # fmt: skip
    assert found[1][2] == "Sex is missing: this field is required"
    assert found[-1][2] == "a row must be an object of fields, not 3"


def test_faults_beyond_a_hundred_are_said_to_exist():
    found = messages(body(*[{}] * 500))
    assert len(found) == 101
    assert found[-1] == (None, None, "There are more faults than these 100.")


@pytest.mark.parametrize(
    ("raw", "field", "part"),
    [
        (b"[]", "rows", "send an object with a list of rows"),
        (b'{"row": []}', "rows", "send an object with a list of rows"),
        (b'{"rows": {}}', "rows", "send an object with a list of rows"),
        (b'{"rows": []}', "rows", "send at least one row"),
        (b'{"rows": [], "mode": 1}', "mode", "only rows is taken"),
    ],
)
def test_body_of_another_shape_is_told_what_to_send(raw, field, part):
    ((_, found, message),) = messages(raw)
    assert found == field
    assert part in message


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"rows", b'{"rows": [}', b"\xff\xfe", b"[" * 200_000, b'{"rows":' + b"[" * 9999]
)
def test_what_is_no_json_is_refused(raw):
    with pytest.raises(NotJSON) as error:
        TITANIC.decode(raw)
    assert error.value.status == 400


def test_a_thousand_rows_are_taken_and_one_more_is_not():
    assert len(TITANIC.decode(body(*[specs.titanic_row()] * 1000))) == 1000
    with pytest.raises(TooLarge, match="1\u202f001 rows came, at most 1\u202f000") as error:
        TITANIC.decode(body(*[specs.titanic_row()] * 1001))
    assert error.value.status == 413


def test_body_over_a_mebibyte_is_refused():
    with pytest.raises(TooLarge, match="2\u202f097\u202f152 bytes, at most 1\u202f048\u202f576"):
        TITANIC.decode(b" " * (2 * 1024 * 1024))


def test_null_characters_and_half_characters_are_refused():
    for text, part in (
        ("a\x00b", "null character"),
        ("\ud800", "half of a character pair"),
        ("x" * 1001, "too long"),
    ):
        with pytest.raises(RowsInvalid) as error:
            HOUSE.decode(body({"rooms": 3, "area": 80, "town": text}))
        assert part in error.value.errors[0]["message"]


def test_a_value_that_is_just_beyond_a_bound_is_told_from_it():
    spec = specs.house(
        fields=[
            {"name": "rooms", "type": "integer", "seen": [0, 1_000_000]},
            {"name": "area", "type": "number", "min": 1_000_001, "max": 1_000_001.25},
        ],
        derived=[],
        slices=[],
    )
    decoder = RowDecoder(spec)
    assert decoder.decode_rows([{"rooms": 1_000_001, "area": 1_000_001}]).warnings == [
        ["rooms is 1000001, an outlier: outside the range seen in training (0 to 1000000)"]
    ]
    for area, words in (
        (1_000_000.5, "at least 1000001, not 1000000.5"),
        (1e6 + 2, "at most 1000001.25, not 1000002"),
    ):
        with pytest.raises(RowsInvalid) as error:
            decoder.decode_rows([{"rooms": 1, "area": area}])
        assert error.value.errors[0]["message"] == f"area must be {words}"


def test_unusual_values_are_taken_with_a_warning():
    rows = HOUSE.decode(
        body({"rooms": 20, "area": 80, "town": "Soria"}, {"rooms": 3, "area": 80.5, "town": "Lugo"})
    )
    assert rows.warnings == [
        [
            "rooms is 20, an outlier: outside the range seen in training (1 to 12)",
            'town is "Soria", a value the model has not seen',
        ],
        [],
    ]


@pytest.mark.parametrize("area", [2**53, 2**53 + 1, 2**64, 10**30, 2.0**64])
def test_a_number_of_any_size_can_be_recorded(area):
    rows = HOUSE.decode_rows([{"rooms": 4, "area": area, "town": "Lugo"}])
    assert orjson.loads(orjson.dumps(rows.inputs[0]))["area"] == float(area)


def test_whole_float_is_a_whole_number():
    assert TITANIC.decode(body(specs.titanic_row(Pclass=3.0))).inputs[0]["Pclass"] == 3


def test_fast_and_slow_way_agree_on_random_rows():
    """What the typed decoder takes, the slow pass takes too, with the same values."""
    dice = np.random.default_rng(5)
    pool = [None, 0, 1, 3, 4, -1, 2.5, 21, 1e39, "", "male", "S", "Mr", "x", True, False, [], 8.0]
    decoder = msgspec.json.Decoder()
    taken = 0
    for _ in range(3000):
        row = specs.titanic_row()
        row[str(dice.choice(list(row)))] = pool[dice.integers(len(pool))]
        raw = body(row)
        try:
            fast = TITANIC.decode(raw).inputs
        except RowsInvalid:
            continue
        taken += 1
        assert fast == TITANIC.decode_rows(decoder.decode(raw)["rows"]).inputs
    assert 200 < taken < 2000


@pytest.mark.parametrize("is_open", [True, False])
def test_spaces_around_a_known_choice_go(is_open: bool):
    town = {"name": "town", "type": "text",
            "choices": {"values": [{"value": "Lugo"}, {"value": " Soria"}], "open": is_open}}  # fmt: skip
    spec = specs.house(fields=[town], slices=[], derived=[], example={"town": "Lugo"})
    rows = RowDecoder(spec).decode(body({"town": " Lugo\n"}, {"town": " Soria"}))
    assert [row["town"] for row in rows.inputs] == ["Lugo", " Soria"]
    assert rows.warnings == [[], []]


def test_a_field_that_is_there_twice_is_refused():
    """Which of the two is meant, nobody knows."""
    row = json.dumps(specs.titanic_row())
    with pytest.raises(NotJSON, match="has Age twice in one object"):
        TITANIC.decode(f'{{"rows": [{row[:-1]}, "Age": 50}}]}}'.encode())
    short = json.dumps({name: value for name, value in specs.titanic_row().items() if name != "Age"})
    with pytest.raises(NotJSON, match="has Fare twice"):  # as many keys as there are fields
        TITANIC.decode(f'{{"rows": [{short[:-1]}, "Fare": 7}}]}}'.encode())
    with pytest.raises(NotJSON, match="has rows twice"):
        TITANIC.decode(f'{{"rows": [{row}], "rows": [{row}]}}'.encode())


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\r", " \n "])
def test_a_field_that_is_there_twice_hides_behind_no_space(space):
    """As many quotes before colons as there are keys, and one key twice."""
    raw = f'{{"rows": [{{"rooms": 3, "rooms": 4, "area"{space}: 90, "town": "Lugo"}}]}}'
    with pytest.raises(NotJSON, match="has rooms twice"):
        HOUSE.decode(raw.encode())
    with pytest.raises(NotJSON, match="has rooms twice"):
        HOUSE.decode(raw.replace("Lugo", "at 12:30").encode())


def test_a_text_that_looks_like_a_key_is_no_second_one():
    town = 'a "town": it is'
    assert HOUSE.decode(body({"rooms": 3, "area": 90, "town": town})).inputs[0]["town"] == town
    spaced = b'{ "rows" : [ { "rooms" : 3 , "area" : 90 , "town" : "Lugo" } ] }'
    assert HOUSE.decode(spaced).inputs == [{"rooms": 3, "area": 90, "town": "Lugo"}]


@pytest.mark.parametrize("town", ["A\u0301vila", " A\u0301vila ", "\u00c1vila\u00a0"])
def test_a_known_choice_is_known_however_it_is_composed(town):
    found = HOUSE.decode(body({"rooms": 3, "area": 90, "town": town}))
    assert (found.inputs[0]["town"], found.warnings[0]) == ("\u00c1vila", [])


def test_choices_that_differ_by_no_more_are_kept_apart():
    plain = specs.house_plain()
    plain["fields"][2]["choices"]["values"] = [{"value": "x"}, {"value": "x "}]
    decoder = RowDecoder(read_spec(json.dumps(plain)))
    for town in ("x", "x ", " x"):
        assert decoder.decode(body({"rooms": 3, "area": 90, "town": town})).inputs[0]["town"] == town


def test_numbers_in_texts_are_none_of_python():
    area = specs.house().field("area")
    assert values.from_text(area, "1_500") == "1_500"
    assert values.from_text(area, "1500") == 1500


@pytest.mark.parametrize(
    ("name", "stored", "read"),
    [
        ("town", 12, "12"),
        ("town", 12.0, "12"),
        ("town", Decimal("12.00"), "12"),
        ("town", 12.5, 12.5),
        ("town", 1e300, 1e300),
        ("town", True, True),
        ("town", float("nan"), None),
        ("town", "12.0", "12.0"),
        ("rooms", Decimal(18446744073709551615), 18446744073709551615),
        ("rooms", Decimal("3.00"), 3),
        ("rooms", "3", 3),
        ("area", Decimal("90.25"), 90.25),
        ("area", float("nan"), None),
        ("area", None, None),
    ],
)
def test_values_of_tables_are_read_as_data_frames_write_them(name, stored, read):
    found = values.from_table(specs.house().field(name), stored)
    assert (type(found), found) == (type(read), read)


@pytest.mark.parametrize(
    ("stored", "read"), [(0, False), (1.0, True), (Decimal(1), True), (2, 2), ("yes", True)]
)
def test_truth_values_of_tables_may_be_numbers(stored, read):
    field = Field("is_new", type="boolean")
    assert repr(values.from_table(field, stored)) == repr(read)


def test_only_the_first_misspelt_names_are_looked_up(monkeypatch):
    """Among the names of a wide model that takes milliseconds for each, and holds up all other callers."""
    asked = []

    def close(name, names, n):
        asked.append(name)
        return get_close_matches(name, names, n=n)

    monkeypatch.setattr(check, "get_close_matches", close)
    row = {name.upper(): value for name, value in specs.titanic_row().items()}
    with pytest.raises(RowsInvalid) as told:
        RowDecoder(specs.titanic()).decode_rows([{"sex": "male", "age": 3}, {"sex": "male"}, row])
    assert asked == ["age", "sex", "AGE"]
    words = [error["message"] for error in told.value.errors if "not a field" in error["message"]]
    assert words[0] == "age is not a field of this model: did you mean Age?"
    assert words[1] == words[2] == "sex is not a field of this model: did you mean Sex?"
    assert words[-1] == "TITLE is not a field of this model: correct it, or leave it out"


def test_unseen_values_cost_no_more_where_many_are_known():
    def seconds(n_known: int) -> float:
        choices = {"values": [{"value": f"town {n}"} for n in range(n_known)], "open": True}
        fields = [{"name": "town", "type": "text", "choices": choices}]
        decoder = RowDecoder(specs.house(fields=fields, derived=[]))
        rows = body(*({"town": f"unseen {n}"} for n in range(1000)))
        times = []
        for _n in range(4):
            started = time.perf_counter()
            assert len(decoder.decode(rows).warnings[999]) == 1
            times.append(time.perf_counter() - started)
        return min(times)

    assert seconds(1500) < 5 * seconds(5)
