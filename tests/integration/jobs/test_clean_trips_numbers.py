"""Whole months of trips: Spark's numbers against those that pandas works out by itself."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.spark_apps.clean_trips import clean

MONTHS = sorted(Path(os.environ.get("CONSOLE_DATA_DIR") or "/nowhere").glob("*_tripdata_*.parquet"))
N_MADE = 5_000


def made_month(folder: Path) -> Path:
    """A month with every fault in it, many rows with several."""
    dice = np.random.default_rng(20240131)
    pickup = pd.Timestamp("2024-01-01") + pd.to_timedelta(dice.integers(0, 31 * 86_400, N_MADE), unit="s")
    minutes = dice.choice([-5, 0.5, 1, 12, 45, 720, 900], N_MADE)

    def some(values: list, n_missing: int = 1) -> np.ndarray:
        return dice.choice(np.array([*values, *[np.nan] * n_missing]), N_MADE)

    trips = pd.DataFrame(
        {
            "VendorID": dice.integers(1, 3, N_MADE),
            "tpep_pickup_datetime": pickup.where(dice.random(N_MADE) > 0.05),
            "tpep_dropoff_datetime": pickup + pd.to_timedelta(minutes, unit="min"),
            "passenger_count": some([0, 1, 2, 3]),
            "trip_distance": some([-1, 0, 0.5, 2, 7, 30]),
            "RatecodeID": some([1, 1, 2, 5, 99]),
            "PULocationID": 74,
            "DOLocationID": 75,
            "payment_type": some([1, 2]),
            "fare_amount": some([-4, 10, 20]),
            "tip_amount": some([0, 2, 8, 15, 40]),
            "tolls_amount": 0.0,
            "total_amount": some([-5, 0, 10, 30]),
        }
    )
    trips.to_parquet(folder / "made.parquet", coerce_timestamps="us")
    return folder / "made.parquet"


@pytest.fixture(params=["made", *MONTHS], ids=lambda given: getattr(given, "stem", given))
def month(request, tmp_path) -> Path:
    return made_month(tmp_path) if request.param == "made" else request.param


def by_pandas(month: Path) -> tuple[dict[str, int], pd.DataFrame]:
    """Dropped rows by reason, one filter after the other, and the trips that are left."""
    trips = pd.read_parquet(month)
    trips.columns = trips.columns.str.replace("^[lt]pep_", "", regex=True)
    minutes = (trips.dropoff_datetime - trips.pickup_datetime).dt.total_seconds() / 60
    filters = {
        "no_distance": trips.trip_distance > 0,
        "no_amount": trips.total_amount > 0,
        "odd_duration": (minutes >= 1) & (minutes <= 720),
        "no_passenger_count": trips.passenger_count.notna(),
        "no_rate_code": trips.RatecodeID.notna(),
        "large_tip": ~(trips.tip_amount / trips.total_amount > 0.5),
    }
    dropped = {}
    for reason, holds in filters.items():
        dropped[reason] = int((~holds.loc[trips.index]).sum())
        trips = trips[holds.loc[trips.index]]
    return dropped, trips.assign(duration_min=minutes.loc[trips.index])


def test_counts_and_trips_are_those_of_pandas(spark, month, tmp_path):
    result = clean(spark, month, tmp_path / "trips")
    dropped, expected = by_pandas(month)
    assert result["dropped"] == dropped
    assert result["rows_kept"] == len(expected)
    assert result["rows_in"] == len(pd.read_parquet(month, columns=["VendorID"]))
    assert min(dropped.values()) > 0 or month.stem != "made"

    found = pd.read_parquet(tmp_path / "trips")
    key = ["pickup_datetime", "total_amount", "trip_distance", "duration_min"]
    found, expected = (rows.sort_values(key).reset_index(drop=True) for rows in (found, expected))
    pickup = expected.pickup_datetime.dt
    for name, values in {
        "month": pickup.month,
        "weekday": pickup.weekday,
        "hour": pickup.hour,
        "total_amount": expected.total_amount,
    }.items():
        assert (found[name] == values).all(), name
    # Both divide the same doubles: all but the last digit must agree.
    np.testing.assert_allclose(found.duration_min, expected.duration_min, rtol=1e-12)
    shares = expected.tip_amount / expected.total_amount
    assert found.tip_share.sum() == pytest.approx(shares.sum(), rel=1e-9)
