"""What is kept of the frozen reference."""

import json

import msgspec
import numpy as np
import pandas as pd
import pytest

from scoring.drift import reference
from scoring.drift.reference import ReferenceUnusable
from scoring.drift.shapes import Reference
from scoring.spec import Spec
from scoring.spec_reading import read_spec
from tests.unit.scoring.drift.made import PASSENGERS, REFERENCE, SPEC, parquet, scored


def spec(*fields: dict) -> Spec:
    plain = {"task": "regression", "fields": list(fields), "output": {}, "primary_metric": "mae"}
    return read_spec(json.dumps(plain))


NUMBER = spec({"name": "x", "type": "number", "nullable": True})


def test_columns_are_the_fields_and_the_score():
    assert [column.name for column in REFERENCE.columns] == [*[field.name for field in SPEC.fields], "score"]
    kinds = {column.name: column.kind for column in REFERENCE.columns}
    assert (kinds["Age"], kinds["SibSp"], kinds["Pclass"], kinds["HasCabin"]) == (
        "number",
        "discrete",
        "category",
        "category",
    )


def test_missing_values_are_counted_and_left_out():
    age = next(column for column in REFERENCE.columns if column.name == "Age")
    assert age.n_missing == PASSENGERS["Age"].isna().sum() > 0
    assert age.n_present == PASSENGERS["Age"].notna().sum()
    assert age.spread == pytest.approx(PASSENGERS["Age"].std(ddof=0))


def test_values_are_named_as_the_spec_names_them():
    embarked = next(column for column in REFERENCE.columns if column.name == "Embarked")
    assert set(embarked.labels) == {"Cherbourg", "Queenstown", "Southampton"}


def test_categories_are_values_that_a_row_can_hold():
    found = reference.categories(["a\x00b", "\ud800", ["male"], {"x": 1}, float("inf"), 2, True, None, ""])
    assert found == ["a\ufffdb", "?", "['male']", "{'x': 1}", "inf", 2, True]


def test_many_numbers_are_kept_as_a_thousand_points():
    values = np.random.default_rng(1).lognormal(size=19_999)
    table = pd.DataFrame({"x": values, "score": values})
    kept = reference.read(parquet(table), NUMBER).columns[0]
    assert len(kept.values) == 1_000
    assert kept.n_present == 19_999
    points = np.repeat(kept.values, kept.counts)
    ordered = np.sort(values)
    distance = np.abs(np.searchsorted(points, ordered, side="right") / 19_999 - np.arange(1, 20_000) / 19_999)
    assert distance.max() <= 1 / 1_000


@pytest.mark.parametrize("n_rows", [20_500, 60_000])
def test_of_more_rows_than_allowed_some_of_the_whole_are_taken(n_rows):
    """Or rows in order of their date would look like a shift for ever."""
    table = pd.DataFrame({"x": np.arange(float(n_rows)), "score": 0.5})
    found = reference.read(parquet(table), NUMBER)
    assert found.n == 20_000
    points = np.repeat(found.columns[0].values, found.columns[0].counts)
    assert np.quantile(points, [0.1, 0.5, 0.9]) == pytest.approx(
        [n_rows * q for q in (0.1, 0.5, 0.9)], rel=0.01
    )


def test_a_summary_survives_being_stored():
    stored = json.loads(json.dumps(msgspec.to_builtins(REFERENCE), allow_nan=False))
    assert msgspec.convert(stored, Reference) == REFERENCE


def test_free_text_about_a_person_is_not_kept_in_words():
    name = spec({"name": "street", "type": "text", "personal": True})
    table = pd.DataFrame({"street": ["High St", "Low St", "High St"], "score": 0.5})
    assert reference.read(parquet(table), name).columns[0].labels == ["#1", "#2"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK not parquet", "cannot be read"),
        (parquet(pd.DataFrame({"x": [1.0]})), "lacks score"),
        (parquet(pd.DataFrame({"score": [1.0]})), "lacks x"),
        (parquet(pd.DataFrame({"x": [], "score": []})), "no rows"),
    ],
)
def test_an_unusable_file_is_refused_with_the_reason(content, reason):
    with pytest.raises(ReferenceUnusable, match=reason):
        reference.read(content, NUMBER)


def test_a_column_of_nothing_but_missing_values_is_kept():
    table = pd.DataFrame({"x": [None, None], "score": [0.1, 0.2]}).astype("float64")
    kept = reference.read(parquet(table), NUMBER).columns[0]
    assert (kept.n_missing, kept.n_present) == (2, 0)


def test_the_score_follows_the_passengers():
    assert scored(PASSENGERS)["score"].between(0, 1).all()
