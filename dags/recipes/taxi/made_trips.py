"""A month of green-taxi trips, generated: the columns of the real file, and its defects in like shares."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

MONTH_BEGINS = np.datetime64("2024-01-01T00:00:00", "us")
MONTH_S = 31 * 24 * 3600
SHARE_UNKNOWN = 0.06  # neither passengers nor rate code, flag, payment
SHARE_REFUNDED = 0.004  # every amount negative
SHARE_NOT_DRIVEN = 0.03  # no distance
SHARE_TOO_LONG = 0.002  # a day and more
SHARE_FAR = 0.0005  # tens of thousands of miles


def write(path: Path, *, n_rows: int, seed: int) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    pyarrow.parquet.write_table(table(n_rows, seed), part)
    part.replace(path)


def table(n_rows: int, seed: int) -> pyarrow.Table:
    """The same rows for the same seed."""
    dice = np.random.default_rng(seed)
    is_unknown = dice.random(n_rows) < SHARE_UNKNOWN
    columns = {**_when(dice, n_rows), **_how(dice, n_rows, is_unknown), **_amounts(dice, n_rows, is_unknown)}
    return pyarrow.table({name: columns[name] for name in _ORDER})


def _when(dice: np.random.Generator, n_rows: int) -> dict[str, Any]:
    pickup_s = np.sort(dice.integers(0, MONTH_S, n_rows))
    duration_s = dice.gamma(2.2, 420, n_rows)
    duration_s[dice.random(n_rows) < SHARE_TOO_LONG] += 24 * 3600
    pickup = MONTH_BEGINS + pickup_s.astype("timedelta64[s]")
    return {
        "lpep_pickup_datetime": pickup,
        "lpep_dropoff_datetime": pickup + duration_s.astype("timedelta64[s]"),
    }


def _how(dice: np.random.Generator, n_rows: int, is_unknown: np.ndarray) -> dict[str, Any]:
    distance = dice.gamma(1.6, 1.6, n_rows).round(2)
    distance[dice.random(n_rows) < SHARE_NOT_DRIVEN] = 0.0
    distance[dice.random(n_rows) < SHARE_FAR] *= 20_000
    return {
        "VendorID": dice.choice([1, 2], n_rows, p=[0.13, 0.87]).astype("int32"),
        "store_and_fwd_flag": pyarrow.array(
            dice.choice(["N", "Y"], n_rows, p=[0.998, 0.002]), mask=is_unknown
        ),
        "RatecodeID": _known(
            dice.choice([1.0, 2.0, 5.0, 99.0], n_rows, p=[0.95, 0.01, 0.035, 0.005]), is_unknown
        ),
        "PULocationID": dice.integers(1, 266, n_rows).astype("int32"),
        "DOLocationID": dice.integers(1, 266, n_rows).astype("int32"),
        "passenger_count": _known(np.minimum(dice.geometric(0.78, n_rows), 9).astype(float), is_unknown),
        "trip_distance": distance,
        "payment_type": _known(dice.choice([1.0, 2.0, 3.0], n_rows, p=[0.68, 0.31, 0.01]), is_unknown),
        "trip_type": _known(dice.choice([1.0, 2.0], n_rows, p=[0.97, 0.03]), is_unknown),
    }


def _amounts(dice: np.random.Generator, n_rows: int, is_unknown: np.ndarray) -> dict[str, Any]:
    fare = (3.0 + dice.gamma(2.0, 6.5, n_rows)).round(1)
    tip = np.where(dice.random(n_rows) < 0.6, (fare * dice.normal(0.22, 0.06, n_rows)).clip(0), 0.0).round(2)
    surcharge = dice.choice([0.0, 2.75], n_rows, p=[0.72, 0.28])
    amounts = {
        "fare_amount": fare,
        "extra": dice.choice([0.0, 1.0, 2.5], n_rows, p=[0.55, 0.25, 0.2]),
        "mta_tax": np.full(n_rows, 0.5),
        "tip_amount": tip,
        "tolls_amount": np.where(dice.random(n_rows) < 0.02, 6.94, 0.0),
        "improvement_surcharge": np.full(n_rows, 1.0),
    }
    total = sum(amounts.values()) + surcharge
    sign = np.where(dice.random(n_rows) < SHARE_REFUNDED, -1.0, 1.0)
    return {
        **{name: amount * sign for name, amount in amounts.items()},
        "total_amount": (total * sign).round(2),
        "ehail_fee": pyarrow.nulls(n_rows, pyarrow.float64()),
        "congestion_surcharge": _known(surcharge * sign, is_unknown),
    }


def _known(values: np.ndarray, is_unknown: np.ndarray) -> pyarrow.Array:
    return pyarrow.array(values, mask=is_unknown)


_ORDER = [
    "VendorID", "lpep_pickup_datetime", "lpep_dropoff_datetime", "store_and_fwd_flag", "RatecodeID",
    "PULocationID", "DOLocationID", "passenger_count", "trip_distance", "fare_amount", "extra", "mta_tax",
    "tip_amount", "tolls_amount", "ehail_fee", "improvement_surcharge", "total_amount", "payment_type",
    "trip_type", "congestion_surcharge",
]  # fmt: skip
