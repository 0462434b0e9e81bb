"""Files as strangers send them, read row by row."""

import datetime
import decimal
import json

import pandas as pd
import pytest

from core.lib import csv_out
from predictions.batches import tables
from predictions.batches.tables import FileRefused
from scoring.spec_reading import read_spec
from scoring.words import grouped
from tests.champions import SPEC

HEADER = "Pclass,Sex,Age,SibSp,Parch,Fare,Embarked"
WANTED = {
    "Pclass": 3,
    "Sex": "male",
    "Age": 22,
    "SibSp": 1,
    "Parch": 0,
    "Fare": 7.25,
    "Embarked": "S",
}  # as "3,male,22,1,0,7.25,S" says
REPLACED = "\N{REPLACEMENT CHARACTER}"
WELL = f"{HEADER}\n3,male,22,1,0,7.25,S\n"


@pytest.fixture(scope="module")
def spec():
    return read_spec(json.dumps(SPEC))


@pytest.fixture
def table(tmp_path, spec):
    def made(content: str | bytes, encoding: str = "utf-8") -> tables.Table:
        path = tmp_path / "upload"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return tables.opened(path, tables.format_of(path), spec)

    return made


ODD_FILES = {
    "plain": WELL,
    "byte order mark": "\ufeff" + WELL,
    "no line break at the end": WELL.rstrip("\n"),
    "lines of Windows": WELL.replace("\n", "\r\n"),
    "lines of an old Mac": WELL.replace("\n", "\r"),
    "empty lines": f"\n\n{HEADER}\n\n3,male,22,1,0,7.25,S\n\n\n",
    "blanks around": "Pclass , Sex,Age,SibSp,Parch, Fare ,Embarked\n 3, male,22 ,1,0, 7.25,S\n",
    "semicolons and a decimal comma": WELL.replace(",", ";").replace("7.25", "7,25"),
    "tabs": WELL.replace(",", "\t"),
    "bars": WELL.replace(",", "|"),
    "a line for spreadsheets": "sep=;\n" + WELL.replace(",", ";"),
    "quotes": f'{HEADER}\n"3","male","22","1","0","7.25","S"\n',
    "commas at the end": f"{HEADER}\n3,male,22,1,0,7.25,S,,\n",
    "another order": "Fare,Embarked,Pclass,Sex,Age,SibSp,Parch\n7.25,S,3,male,22,1,0\n",
    "whole numbers as fractions": f"{HEADER}\n3.0,male,22.0,1.0,0.0,7.25,S\n",
}


@pytest.mark.parametrize("content", ODD_FILES.values(), ids=ODD_FILES.keys())
def test_an_odd_file_is_read_as_it_is_meant(table, content):
    [row] = table(content).rows()
    assert (row.inputs, row.fault) == (WANTED, "")


def test_utf_16_is_read_by_its_mark(table):
    [row] = table(WELL, "utf-16").rows()
    assert row.inputs == WANTED


def test_columns_that_are_no_fields_are_kept_beside_the_answer(table):
    found = table(f'note,{HEADER},\n"two\nlines, a comma",3,male,22,1,0,7.25,S,7\n')
    [row] = found.rows()
    assert found.unused == ["note", "column 9"]
    assert row.cells == ["two\nlines, a comma", "3", "male", "22", "1", "0", "7.25", "S", "7"]
    assert row.inputs == WANTED


@pytest.mark.parametrize("text", ["", " ", "NA", "n/a", "NaN", "null", "None"])
def test_missing_is_written_in_many_ways(table, text):
    [row] = table(f"{HEADER}\n3,male,{text},1,0,7.25,S\n").rows()
    assert row.inputs["Age"] == ""


def test_a_word_for_missing_in_a_text_is_a_text(table):
    [row] = table(f"{HEADER}\n3,male,22,1,0,7.25,NA\n").rows()
    assert row.inputs["Embarked"] == "NA"


def test_a_number_with_a_comma_stays_as_it_is_where_the_comma_separates(table):
    [row] = table(f'{HEADER}\n3,male,22,1,0,"7,25",S\n').rows()
    assert row.inputs["Fare"] == "7,25"  # which the model's check refuses


def test_a_row_of_the_wrong_length_is_its_own_fault(table):
    short, sound, long = table(f"{HEADER}\n3,male\n3,male,22,1,0,7.25,S\n3,male,22,1,0,7.25,S,x\n").rows()
    assert short.fault == "the row has 2 values for 7 columns"
    assert short.cells == ["3", "male", "", "", "", "", ""]
    assert sound.inputs == WANTED
    assert long.fault == "the row has 8 values for 7 columns"


def test_reading_goes_on_where_it_ended(table):
    found = table(f"{HEADER}\n" + "".join(f"3,male,{age},1,0,7.25,S\n\n" for age in range(10)))
    assert [row.inputs["Age"] for row in found.rows(7)] == [7, 8, 9]
    assert found.count(most=100) == 10
    assert found.count(most=5) == 6


def test_a_long_text_with_many_separators_is_one_cell(table):
    text = "a, b\n" * 20_000
    [row] = table(f'note,{HEADER}\n"{text}",3,male,22,1,0,7.25,S\n').rows()
    assert (row.cells[0], row.inputs) == (text, WANTED)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("a," * 600 + "\n", 1),
        (f"{HEADER}\n" + "a," * 600 + "\n", 2),
        (f"{HEADER}\n" + '"a\n",' * 600 + "\n", 202),  # of the row three characters, then five a line
        ("\n" * 1_200, 1_001),
    ],
    ids=["header", "row", "row of many lines", "empty lines"],
)
def test_a_row_is_given_up_before_it_fills_the_memory(table, monkeypatch, content, line):
    monkeypatch.setattr(tables, "MOST_CHARACTERS", 1_000)
    with pytest.raises(FileRefused) as refused:
        list(table(content).rows())
    words = f"Line {grouped(line)} cannot be read as CSV: a row holds more than 1\u202f000 characters."
    assert str(refused.value) == words


FAULTS = {
    "nothing": ("", [(None, "The file is empty")]),
    "blank": ("\n\n", [(None, "The file is empty")]),
    "a column twice": (f"{HEADER},Age\n", [("Age", "Age is there twice")]),
    "misspelt": (
        "Pclass,sex,Age,SibSp,Parch,Fares,Embarked\n",
        [("sex", "did you mean Sex?"), ("Fares", "did you mean Fare?")],
    ),
    "an optional one misspelt": (
        "Pclass,Sex,age,SibSp,Parch,Fare\n",
        [("age", "age is not a field of this model: did you mean Age?")],
    ),
    "missing": ("Pclass,Sex,SibSp,Parch\n", [("Fare", "The column Fare is missing")]),
    "another table": ("a,b\n1,2\n", [(name, "is missing") for name in ("Pclass", "Sex", "SibSp")]),
    "a quote that does not end": (f'{HEADER}\n3,"male,22,1\n', [(None, "Line 2 cannot be read as CSV")]),
    "what is no text": (b"\x89\xe9\x00\x01" * 100, [(None, "not UTF-8")]),
    "Latin 1": (WELL.replace("male", "mâle").encode("latin-1"), [(None, "not UTF-8")]),
    "half of UTF-16": (WELL.encode("utf-16")[:-1], [(None, "not UTF-8")]),
    "cut Parquet": (b"PAR1" + b"\x00" * 100, [(None, "The file cannot be read")]),
}


@pytest.mark.parametrize(("content", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_a_file_that_cannot_be_read_is_refused_in_words(table, content, expected):
    with pytest.raises(FileRefused) as refused:
        list(table(content).rows())
    for (column, words), (named, message) in zip(expected, refused.value.faults, strict=False):
        assert column == named
        assert words in message


def frame(**changes) -> pd.DataFrame:
    return pd.DataFrame([{**WANTED, **changes}])


def parquet(tmp_path, rows: pd.DataFrame) -> bytes:
    path = tmp_path / "made.parquet"
    rows.to_parquet(path)
    return path.read_bytes()


def test_parquet_is_read_by_its_own_types(table, tmp_path):
    rows = pd.concat([frame(note="x"), frame(note=None, Age=None)], ignore_index=True)
    first, second = table(parquet(tmp_path, rows)).rows()
    assert first.inputs == WANTED
    assert second.inputs["Age"] is None
    assert second.cells == ["3", "male", "", "1", "0", "7.25", "S", ""]


def test_parquet_may_hold_codes_with_gaps_and_decimals(table, tmp_path):
    """A data frame makes floats of whole numbers as soon as one is missing."""
    rows = pd.concat([frame(), frame()], ignore_index=True)
    rows = rows.assign(Embarked=[12.0, None], Fare=[decimal.Decimal("7.25"), decimal.Decimal("8.00")])
    assert rows["Embarked"].dtype == "float64"
    first, second = table(parquet(tmp_path, rows)).rows()
    assert first.inputs == {**WANTED, "Embarked": "12"}
    assert (second.inputs["Embarked"], second.inputs["Fare"]) == (None, 8.0)


def test_a_column_of_parquet_without_any_value_is_missing_in_each_row(table, tmp_path):
    """A data frame's column of None only has no type."""
    found = table(parquet(tmp_path, frame(Embarked=None, note=None)))
    [row] = found.rows()
    assert (found.unused, row.inputs, row.cells[-2:]) == (["note"], {**WANTED, "Embarked": None}, ["", ""])


def test_ids_of_parquet_that_are_decimals_keep_their_digits(table, tmp_path):
    code, id_ = decimal.Decimal(2**53 + 1), decimal.Decimal(12345678901234567890)
    [row] = table(parquet(tmp_path, frame(Embarked=code, Pclass=decimal.Decimal(3), id=id_))).rows()
    assert row.inputs == {**WANTED, "Embarked": str(2**53 + 1)}
    assert row.cells[-1] == "12345678901234567890"


def test_parquet_goes_on_where_it_ended(table, tmp_path):
    rows = pd.concat([frame(Age=age) for age in range(10)], ignore_index=True)
    found = table(parquet(tmp_path, rows))
    assert (found.count(most=5), [row.inputs["Age"] for row in found.rows(8)]) == (10, [8, 9])


def test_parquet_with_a_field_of_times_is_refused_by_name(table, tmp_path):
    with pytest.raises(FileRefused) as refused:
        table(parquet(tmp_path, frame(Fare=datetime.datetime(2026, 1, 1))))
    [(column, message)] = refused.value.faults
    assert column == "Fare"
    assert "no plain value" in message


def test_other_columns_of_parquet_that_are_no_plain_values_are_left_out(table, tmp_path):
    found = table(parquet(tmp_path, frame(bag=[1, 2], seen=datetime.datetime(2026, 1, 1))))
    assert (found.unused, next(found.rows()).inputs) == ([], WANTED)


def test_parquet_that_unfolds_to_more_than_is_kept_is_refused(table, tmp_path, settings):
    settings.CONSOLE_BATCHES_MAX_MIB = 1  # four are taken: 400 rows of 10,000 characters and more, not 420
    rows = [frame(note="x" * 10_000)] * 420
    small = parquet(tmp_path, pd.concat(rows, ignore_index=True))
    assert len(small) < 20_000
    assert table(parquet(tmp_path, pd.concat(rows[:400], ignore_index=True))).count(most=1_000) == 400
    with pytest.raises(FileRefused, match="hold more than 4\u202f194\u202f304 characters"):
        table(small).count(most=1_000)


def test_parquet_that_counts_rows_it_lacks_is_counted(table, tmp_path, monkeypatch):
    found = table(parquet(tmp_path, frame()))
    monkeypatch.setattr(found, "_n_rows", 3)
    assert found.count(most=10) == 1


def test_the_template_fits(table, spec):
    header, row = tables.template(spec)
    [found] = table(f"{','.join(header)}\n{','.join(map(str, row))}\n").rows()
    assert found.inputs == WANTED


def odd_spec(names: list[str], example: str = "", **more):
    """A model of texts, whose fields have these names."""
    fields = [{"name": name, "type": "text", **more} for name in names]
    return read_spec(
        json.dumps(
            {
                "task": "regression",
                "fields": fields,
                "output": {},
                "primary_metric": "mae",
                "example": dict.fromkeys(names, example) if example else {},
            }
        )
    )


ODD_NAMES = {
    "a space before": [" education"],
    "alike but for a space": ["a", "a "],
    "what a spreadsheet would run": ["@id", "-x", "=x"],
    "an apostrophe of its own": ["'@id"],
}


@pytest.mark.parametrize("names", ODD_NAMES.values(), ids=ODD_NAMES.keys())
@pytest.mark.parametrize("example", ["x", "-", "-5 to 5", "=1+1"])
def test_what_the_template_offers_is_taken_whatever_fields_are_called(tmp_path, names, example):
    spec = odd_spec(names, example)
    path = tmp_path / "upload"
    path.write_bytes(csv_out.lines(tables.template(spec)))
    found = tables.opened(path, "csv", spec)
    assert (found.columns, found.unused) == (names, [])
    assert [row.inputs for row in found.rows()] == [dict.fromkeys(names, example)]


def test_a_choice_behind_an_apostrophe_is_known_and_other_texts_stay(tmp_path):
    spec = odd_spec(["of", "note"], choices={"values": [{"value": "-"}, {"value": "+1"}], "open": True})
    path = tmp_path / "upload"
    path.write_text("of,note\n'-,'=)\n")
    [row] = tables.opened(path, "csv", spec).rows()
    assert (row.inputs, row.cells) == ({"of": "-", "note": "'=)"}, ["'-", "'=)"])


def test_names_of_parquet_with_spaces_around_are_taken_as_they_are(tmp_path):
    names = [" education", "a", "a "]
    path = tmp_path / "upload"
    pd.DataFrame([[1, "x", "y", "z"]], columns=["n ", *names]).to_parquet(path)
    found = tables.opened(path, "parquet", odd_spec(names))
    assert found.columns == ["n", *names]
    assert [row.inputs for row in found.rows()] == [{" education": "x", "a": "y", "a ": "z"}]


def test_the_name_of_a_column_is_one_that_a_row_can_hold(table, tmp_path):
    assert table(f"{HEADER},x\x00y\n3,male,22,1,0,7.25,S,7\n").unused == [f"x{REPLACED}y"]
    found = table(parquet(tmp_path, frame(**{"x\x00y": 7})))
    assert (found.unused, next(found.rows()).cells[-1]) == ([f"x{REPLACED}y"], "7")


def test_looking_for_misspelt_names_among_very_many_ends(tmp_path, monkeypatch):
    names = [f"measure {n}" for n in range(20)]
    path = tmp_path / "upload"
    path.write_text(",".join(["other", "measure_0", *names[1:], "measure_00"]) + "\n")
    spec = odd_spec(names, required=False, nullable=True)
    with pytest.raises(FileRefused, match="measure_0 is not a field of this model: did you mean measure 0"):
        tables.opened(path, "csv", spec)
    monkeypatch.setattr(tables, "MOST_COMPARED", len("other") * len("measure 0"))
    assert tables.opened(path, "csv", spec).unused == ["other", "measure_0", "measure_00"]
