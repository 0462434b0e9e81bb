"""Tables about tips, worked out by hand from a few trips."""

from datetime import datetime

import pytest

from jobs.spark_apps.running import SourceRefused
from jobs.spark_apps.trip_analyses import Params, analyses
from tests.unit.jobs.spark_apps.made_cleaned import cleaned, folder
from tests.unit.jobs.spark_apps.made_trips import without, write

TRIPS = [
    {"hour": 8, "tip_amount": 1.0, "tip_share": 0.1, "trip_distance": 0.5},
    {"hour": 8, "tip_amount": 3.0, "tip_share": 0.3, "trip_distance": 2.0},
    {"hour": 9, "tip_amount": None, "tip_share": None, "payment_type": 2, "trip_distance": 40.0},
    {"hour": 10, "tip_amount": 6.0, "tip_share": 0.5, "trip_distance": 19.99},
    {
        "hour": 11,
        "tip_amount": 0.0,
        "tip_share": 0.0,
        "payment_type": 4,
        "trip_distance": 5.0,
        "pickup_datetime": datetime(2023, 12, 31),
    },
]


@pytest.fixture
def found(spark, tmp_path):
    return analyses(spark, Params(folder(tmp_path / "trips", *TRIPS), top_hours=2))


def rows(found, title):
    return next(table["rows"] for table in found["tables"] if table["title"] == title)


def test_months_are_in_order(found):
    assert rows(found, "By month") == [
        ["2023-12", 1, 0.0, 0.0, 15.0],
        ["2024-01", 4, pytest.approx(10 / 3), pytest.approx(0.3), 15.0],
    ]


def test_hours_with_the_highest_mean_tip_come_first(found):
    assert [row[:3] for row in rows(found, "Hours with the highest tips")] == [
        ["10:00", 1, 6.0],
        ["08:00", 2, 2.0],
    ]


def test_card_stands_against_cash_and_other_ways_are_left_out(found):
    assert [row[:3] for row in rows(found, "Card against cash")] == [
        ["card", 3, pytest.approx(10 / 3)],
        ["cash", 1, None],
    ]


def test_distances_fall_into_the_range_that_starts_at_them(found):
    assert [row[:2] for row in rows(found, "Distance against tip")] == [
        ["0 to 1", 1],
        ["2 to 3", 1],
        ["5 to 10", 1],
        ["10 to 20", 1],
        ["20 or more", 1],
    ]


def test_one_trip_has_no_correlation(spark, tmp_path):
    result = analyses(spark, Params(folder(tmp_path / "trips", {})))
    assert (result["trips"], result["correlation_of_distance_and_tip"]) == (1, None)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (cleaned({}).slice(0, 0), "trips holds no trip"),
        (without(cleaned({}), ["hour"]), r"0\.parquet: it has no column hour"),
        (cleaned({}).set_column(4, "tip_amount", [["much"]]), "tip_amount is string, not a number"),
    ],
)
def test_what_holds_no_trips_is_refused_in_words(spark, tmp_path, table, words):
    write(tmp_path / "trips" / "0.parquet", table)
    with pytest.raises(SourceRefused, match=words):
        analyses(spark, Params(tmp_path / "trips"))


def test_numbers_that_are_none_count_as_missing(spark, tmp_path):
    odd = float("nan")
    trips = folder(
        tmp_path / "odd",
        {"trip_distance": odd, "tip_amount": 1.0},
        {"trip_distance": 0.5, "tip_amount": odd, "tip_share": float("inf")},
        {"trip_distance": 1.5, "tip_amount": 3.0, "tip_share": 0.2},
    )
    found = analyses(spark, Params(trips))
    assert rows(found, "By month") == [["2024-01", 3, 2.0, 0.2, 15.0]]
    assert [row[:3] for row in rows(found, "Distance against tip")] == [
        ["0 to 1", 1, None],
        ["1 to 2", 1, 3.0],
    ]
