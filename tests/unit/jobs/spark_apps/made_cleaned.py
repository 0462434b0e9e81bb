"""Trips as `clean_trips` writes them, made by hand."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.unit.jobs.spark_apps.made_trips import write

TRIP = {
    "pickup_datetime": datetime(2024, 1, 7, 23, 30),
    "trip_distance": 2.5,
    "payment_type": 1,
    "fare_amount": 10.0,
    "tip_amount": 3.0,
    "total_amount": 15.0,
    "hour": 23,
    "duration_min": 12.5,
    "tip_share": 0.2,
}
TYPES = {"pickup_datetime": pa.timestamp("us"), "payment_type": pa.int32(), "hour": pa.int32()}


def cleaned(*changes: dict[str, Any]) -> pa.Table:
    """One row for each dict, which says what is unlike TRIP."""
    rows = [TRIP | change for change in changes]
    columns = {name: pa.array([row[name] for row in rows], TYPES.get(name, pa.float64())) for name in TRIP}
    return pa.table(columns)


def folder(path: Path, *changes: dict[str, Any]) -> Path:
    """A folder with these trips in one file."""
    write(path / "part-0.parquet", cleaned(*changes))
    return path
