"""Taxi trips written by hand, as files of either colour have them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PICKUP = datetime(2024, 1, 7, 23, 30)  # a Sunday
GREEN = {
    "VendorID": 2,
    "lpep_pickup_datetime": PICKUP,
    "lpep_dropoff_datetime": PICKUP + timedelta(minutes=12, seconds=30),
    "store_and_fwd_flag": "N",
    "RatecodeID": 1.0,
    "PULocationID": 74,
    "DOLocationID": 75,
    "passenger_count": 1.0,
    "trip_distance": 2.5,
    "fare_amount": 10.0,
    "tip_amount": 3.0,
    "tolls_amount": 0.0,
    "total_amount": 15.0,
    "payment_type": 1.0,
}
TYPES = {
    "VendorID": pa.int32(),
    "lpep_pickup_datetime": pa.timestamp("us"),
    "lpep_dropoff_datetime": pa.timestamp("us"),
    "store_and_fwd_flag": pa.string(),
    "PULocationID": pa.int32(),
    "DOLocationID": pa.int32(),
}


def table(*changes: dict[str, Any]) -> pa.Table:
    """One green row for each dict, which says what is unlike a sound trip."""
    rows = [GREEN | change for change in changes]
    columns = {name: pa.array([row[name] for row in rows], TYPES.get(name, pa.float64())) for name in GREEN}
    return pa.table(columns)


def yellow(trips: pa.Table) -> pa.Table:
    """The same trips with the names, and whole numbers, of a yellow month."""
    names = [name.replace("lpep_", "tpep_") for name in trips.column_names]
    found = trips.rename_columns(names)
    for name in ("RatecodeID", "passenger_count", "payment_type"):
        place = found.column_names.index(name)
        found = found.set_column(place, name, found[name].cast(pa.int64()))
    return found


def write(path: Path, trips: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(trips, path)
    return path


def lasting(**length: float) -> dict[str, datetime]:
    """The change that makes a trip take so long."""
    return {"lpep_dropoff_datetime": PICKUP + timedelta(**length)}


def without(trips: pa.Table, names: Iterable[str]) -> pa.Table:
    return trips.drop_columns(list(names))
