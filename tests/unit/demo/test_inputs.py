"""The demonstration's data: the real files where they are, else generated ones of the same shape."""

from pathlib import Path

import pyarrow.parquet
import pytest

from console.demo import inputs
from dags.recipes.taxi import made_trips
from dags.recipes.titanic.features import FIELDS
from streaming import replay_files


@pytest.fixture
def folders(settings, tmp_path):
    settings.CONSOLE_DATA_DIR = None
    settings.CONSOLE_OUTPUT_DIR = tmp_path / "output"
    return settings


def test_generated_trips_are_a_month_that_can_be_replayed(folders):
    source = inputs.trips()
    assert source.origin == "generated trips"
    assert Path(source.path).is_relative_to(inputs.folder())
    assert replay_files.format_of(Path(source.path)).topic == "taxi_trips"
    assert source.n_rows == inputs.GENERATED_TRIPS


def test_generated_trips_have_the_defects_that_cleaning_looks_for():
    trips = made_trips.table(20_000, 1).to_pandas()
    minutes = (trips["lpep_dropoff_datetime"] - trips["lpep_pickup_datetime"]).dt.total_seconds() / 60
    assert (trips["trip_distance"] <= 0).any()
    assert (trips["total_amount"] <= 0).any()
    assert (minutes > 720).any()
    assert trips["passenger_count"].isna().any()
    assert trips["RatecodeID"].isna().any()
    assert (trips["trip_distance"] > 10_000).any()


def test_the_trickle_is_the_head_of_the_month(folders, tmp_path):
    folders.CONSOLE_DATA_DIR = tmp_path
    made_trips.write(tmp_path / inputs.TRIPS, n_rows=7_000, seed=1)
    source = inputs.trickle()
    assert source.n_rows == inputs.TRICKLE_ROWS
    whole = pyarrow.parquet.read_table(tmp_path / inputs.TRIPS)
    assert pyarrow.parquet.read_table(source.path).equals(whole.slice(0, inputs.TRICKLE_ROWS))


def test_passengers_are_rows_of_the_spec_in_the_same_order_each_time(folders):
    assert inputs.passengers_source() == "synthetic"
    found = inputs.passengers()
    assert [passenger.row.keys() for passenger in found[:3]] == [dict.fromkeys(FIELDS).keys()] * 3
    assert {passenger.survived for passenger in found} == {0, 1}
    assert all(value == value for passenger in found for value in passenger.row.values())
    assert found == inputs.passengers()
