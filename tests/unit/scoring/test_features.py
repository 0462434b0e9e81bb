"""Input columns: the same bits for one row, for many, and for a table."""

import numpy as np
import pandas as pd
import pytest

from scoring import features
from scoring.check import RowDecoder
from scoring.features import Featurizer
from tests.unit.scoring import fitted, specs


def test_columns_of_a_row_worked_by_hand():
    rows = RowDecoder(specs.titanic()).decode_rows([specs.titanic_row(Embarked=None, HasCabin=True)])
    columns = features.frame(specs.titanic(), rows)
    assert list(columns) == specs.titanic().columns
    assert columns["Pclass"].dtype == np.float32
    found = {name: column[0] for name, column in columns.items()}
    assert found == {
        "Pclass": 3, "Sex": "male", "Age": 22, "SibSp": 1, "Parch": 0, "Fare": 7.25, "Embarked": "",
        "HasCabin": 1, "Title": "Mr", "FamilySize": 2, "IsAlone": 0, "PclassFare": 21.75, "AgeFare": 159.5,
    }  # fmt: skip


def test_missing_in_is_missing_out():
    columns = features.frame(specs.titanic(), [specs.titanic_row(Age=None)])
    assert np.isnan(columns["Age"][0])
    assert np.isnan(columns["AgeFare"][0])
    assert columns["PclassFare"][0] == np.float32(21.75)


def test_one_row_alone_has_the_bits_it_has_in_a_table():
    spec, rows = specs.titanic(), fitted.passengers()
    table = features.frame(spec, rows)
    dicts = rows.astype(object).where(rows.notna(), None).to_dict("records")
    featurizer = Featurizer(spec)
    for index, row in enumerate(dicts):
        alone = featurizer.one(row)
        for name in spec.number_columns:
            np.testing.assert_array_equal(np.float32(alone[name]), table[name][index])
        assert [alone[name] for name in spec.text_columns] == [
            table[name][index] for name in spec.text_columns
        ]
    again = features.frame(spec, dicts)
    for name in spec.columns:
        np.testing.assert_array_equal(again[name], table[name])


def test_pandas_kinds_of_missing_are_understood():
    rows = fitted.passengers(4)
    rows["Age"] = pd.array([1, None, 3, None], dtype="Int64")
    rows["Embarked"] = pd.array(["S", None, "C", None], dtype="string")
    columns = features.frame(specs.titanic(), rows)
    assert np.isnan(columns["Age"]).tolist() == [False, True, False, True]
    assert columns["Embarked"].tolist() == ["S", "", "C", ""]


def test_table_without_a_field_is_refused_by_name():
    with pytest.raises(KeyError, match="Fare"):
        features.frame(specs.titanic(), fitted.passengers(3).drop(columns="Fare"))
