"""What a recipe keeps and what its spec takes: rows of the first that the second refuses spoil no version."""

import json

import numpy as np
import pandas as pd
import pytest

from dags.recipes.common import fitting
from dags.recipes.common.checks import Column, DataInvalid, sort_out
from dags.recipes.common.run_folder import DagRun
from dags.recipes.diabetes import features as stays
from dags.recipes.forest_cover import data as forest
from dags.recipes.forest_cover import features as forest_features
from dags.recipes.real_estate import data as estate
from dags.recipes.real_estate import features as estate_features
from dags.recipes.taxi.training import TRAINING as TAXI
from scoring.language import MAX_TEXT
from scoring.spec import Spec
from scoring.spec_reading import read_spec

TOO_LONG = "x" * (MAX_TEXT + 1)


def spec() -> Spec:
    described = {
        "task": "regression",
        "fields": [
            {"name": "size", "type": "integer", "min": 0, "max": 9},
            {"name": "town", "type": "text", "choices": {"values": [{"value": "Ponce"}]}, "nullable": True},
        ],
        "output": {"unit": "$"},
        "primary_metric": "mae",
    }
    return read_spec(json.dumps(described))


def rows(n: int, **odd: object) -> pd.DataFrame:
    """n rows that fit, and one more that is odd."""
    whole = [{"size": 1.0, "town": "Ponce", "label": 1.0}] * n
    return pd.DataFrame([*whole, whole[0] | odd] if odd else whole)


def test_rows_that_fit_are_all_taken():
    taken, apart = fitting.set_apart(spec(), {"train": rows(3), "held": rows(2, town=None)})
    assert [len(table) for table in taken.values()] == [3, 3]
    assert (apart.n_rows, apart.n_refused) == (6, 0)


def test_a_row_that_the_spec_refuses_is_set_apart_with_its_reason():
    tables = {"train": rows(1_200, size=10), "held": rows(40, town="Agawam")}
    taken, apart = fitting.set_apart(spec(), tables)
    assert [len(table) for table in taken.values()] == [1_200, 40]
    assert taken["train"]["size"].max() == 1
    assert apart.n_refused == 2
    assert "size" in apart.reasons[0]
    assert "Agawam" in apart.reasons[1]
    assert apart.sentence.startswith("2 of 1,242 rows do not fit the spec and are set apart: size ")


def test_too_many_of_them_fail_in_words():
    with pytest.raises(DataInvalid, match=r"Too many rows do not fit\. 1 of 5 rows"):
        fitting.set_apart(spec(), {"train": rows(4, size=10)})


def test_a_text_longer_than_a_spec_takes_is_set_apart_where_it_comes_in():
    sound = sort_out(pd.DataFrame({"town": ["Ponce", TOO_LONG]}), [Column("town")])
    assert [(row.position, row.reason) for row in sound.rejected] == [
        (1, "town has 1,001 characters, at most 1,000 are taken")
    ]


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ("Asian", "Asian"), ("african american", "AfricanAmerican"), ("African-American", "AfricanAmerican"),
        ("Unknown", None), ("Unknown/Invalid", None), (None, None), ("Martian", "Other"), ("Other", "Other"),
    ],
)  # fmt: skip
def test_a_race_is_one_of_the_data_dictionary_or_missing(told, read):
    assert stays.race(told) == read


def test_a_city_that_was_kept_with_too_many_characters_stops_no_training():
    listing = {
        "house": "a", "state": "Ohio", "city": "Troy", "zip_code": "45373", "bed": 3.0, "bath": 2.0,
        "house_size": 1800.0, "acre_lot": 0.3, "sold_year": 2015.0, "price": 105_000.0,
    }  # fmt: skip
    kept = pd.DataFrame([*[listing] * 20, listing | {"city": TOO_LONG}])
    table = estate_features.fields(kept)
    taken, apart = fitting.set_apart(estate_features.spec(table), {"train": table})
    assert (len(taken["train"]), apart.n_refused) == (20, 1)
    assert "city is too long" in apart.sentence
    fresh = dict.fromkeys(estate.COLUMNS, "1") | {"zip_code": "45373", "city": "y" * 201, "status": "sold"}
    fresh |= {"price": "105000", "house_size": "1800", "prev_sold_date": ""}
    (rejected,) = estate.check([fresh]).rejected
    assert rejected.reason == "city has 201 characters, at most 200 are taken"


def test_soils_without_end_and_without_measure_make_a_spec_all_the_same():
    table = forest.whole(forest.read(forest.generate(1, 2_400)))
    fields = forest_features.fields(table)
    fields["Soil_Type"] = [f"C{n}" for n in range(len(fields))]
    fields.loc[0, "Soil_Type"] = TOO_LONG
    made = forest_features.spec(fields)
    taken, apart = fitting.set_apart(made, {"train": fields})
    assert (len(taken["train"]), apart.n_refused) == (len(fields) - 1, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [("vendor_id", None), ("vendor_id", 101), ("passenger_count", 21), ("passenger_count", -1)],
)
def test_a_trip_beyond_the_bounds_of_its_spec_is_left_out(column, value, capsys):
    trip = {"vendor_id": 2.0, "passenger_count": 1.0, "trip_distance": 2.5, "payment_type": 1}
    trips = pd.DataFrame([trip | {"fare_amount": 12.0, "tip_amount": 2.0}] * 3)
    trips.loc[0, column] = value
    assert len(TAXI.fields(trips)) == 2
    assert "1 trips with impossible" in capsys.readouterr().out


def test_passengers_that_nobody_counted_make_a_spec_all_the_same():
    trip = {"vendor_id": 2, "passenger_count": np.nan, "trip_distance": 2.5, "payment_type": 1}
    trips = pd.DataFrame([trip | {"fare_amount": 12.0, "tip_amount": float(n)} for n in range(3)])
    assert TAXI.spec(TAXI.fields(trips)).field("passenger_count").seen is None


def test_what_was_set_apart_is_a_ground_of_the_decision(monkeypatch, tmp_path):
    monkeypatch.setenv("ATALAYA_WORK_DIR", str(tmp_path))
    run = DagRun("taxi_training", "manual__1", {})
    trip = {"vendor_id": 2.0, "passenger_count": 1.0, "trip_distance": 2.5, "payment_type": 1}
    kept = pd.DataFrame(
        [trip | {"fare_amount": 10.0 + n % 9, "tip_amount": float(n % 7)} for n in range(100)]
    )
    kept.loc[0, "passenger_count"] = 1.5
    run.folder.write_table("train_rows.parquet", kept)
    run.folder.write_table("holdout_rows.parquet", kept[1:20])
    assert TAXI.features(run)["rows_set_apart"] == 1
    assert len(run.folder.read_table("train.parquet")) == 99
    run.folder.write_json("shap.json", {})
    found = {"state": "passed", "is_conclusive": True, "checks": []}
    (ground,) = TAXI.verdict(run, "1", found).criteria
    assert ground.passed is None
    assert ground.sentence.startswith("1 of 119 rows do not fit the spec and are set apart: passenger_count")
