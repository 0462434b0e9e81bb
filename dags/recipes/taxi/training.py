"""The steps of `taxi_training`: what is tipped, learnt from the clean trips that `taxi_batch` left.

Its usual error is the sigma of the anomaly rule on the stream of trips.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pyarrow.dataset import dataset
from pyarrow.parquet import ParquetFile

from dags.recipes.common import ledger
from dags.recipes.common.checks import DataInvalid
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun
from dags.recipes.common.training import Found, Taken, Training
from dags.recipes.taxi.params import DEFAULTS, MODEL, TRAINING_DAG_ID, USECASE
from scoring.spec import Spec
from scoring.spec_reading import read_spec

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FIELDS = ["vendor_id", "passenger_count", "trip_distance", "payment_type", "fare_amount"]
LABEL = "tip_amount"
LONGEST_TRIP, LARGEST_FARE = 200.0, 1_000.0  # miles, dollars: beyond these it is a fault of the meter
HIGHEST_VENDOR, MOST_PASSENGERS = 100, 20
READ_ROWS = 100_000  # at once
PAYMENTS = {1: "Card", 2: "Cash", 3: "No charge", 4: "Dispute", 5: "Unknown", 6: "Voided"}


class TaxiTraining(Training):
    """A forest of few, shallow trees: it answers for every trip of a stream."""

    dag_id = TRAINING_DAG_ID
    model = MODEL
    usecase = USECASE

    def take(self, run: DagRun) -> Taken:
        """The newest month in the ledger."""
        newest = ledger.newest_batch(USECASE)
        if newest is None:
            raise DataInvalid("There are no clean trips yet: run taxi_batch first.")
        folder = Path(newest.facts["trips"])
        if not folder.exists():
            raise DataInvalid(f"{folder} is gone, where the clean trips lay: run taxi_batch again.")
        most = run.params["max_rows"]
        table, n_rows = drawn(folder, [*FIELDS, LABEL, "pickup_datetime"], most, seed=run.params["seed"])
        told = f"{most:,} of {n_rows:,} clean trips are drawn." if n_rows > most else ""
        return Taken(table, newest.origin, told)

    def fields(self, table: pd.DataFrame) -> pd.DataFrame:
        is_sound = table["trip_distance"].between(0, LONGEST_TRIP) & table["fare_amount"].between(
            0, LARGEST_FARE
        )
        is_sound &= table[LABEL].between(0, LARGEST_FARE) & table["payment_type"].isin(PAYMENTS)
        passengers = table["passenger_count"]
        is_sound &= table["vendor_id"].between(0, HIGHEST_VENDOR)
        is_sound &= passengers.isna() | passengers.between(0, MOST_PASSENGERS)
        if n_odd := int((~is_sound).sum()):
            odd = "distances, amounts, payments, vendors or passengers"
            say(f"{n_odd:,} trips with impossible {odd} are left out.")
        sound = table[is_sound]
        numbers = sound[FIELDS].astype(dict.fromkeys(("trip_distance", "fare_amount"), "float64"))
        return numbers.assign(label=sound[LABEL].astype("float64"))

    def spec(self, train: pd.DataFrame) -> Spec:
        return read_spec(json.dumps(_spec(train, usual_error=float(train["label"].std()))))

    def find(self, run: DagRun, spec: Spec, train: pd.DataFrame) -> Found:
        """One forest; its error on folds not trained on becomes the spec's usual error."""
        from dags.recipes.taxi import train as forests

        found, usual_error = forests.fit(spec, train, {**DEFAULTS, **run.params})
        run.folder.write_bytes(
            "spec.json", read_spec(json.dumps(_spec(train, usual_error=usual_error))).to_json()
        )
        return found

    def shap(
        self, run: DagRun, spec: Spec, model: "Pipeline", train: pd.DataFrame
    ) -> tuple[bytes, dict[str, float]]:
        from dags.recipes.common import tree_shap

        return tree_shap.summary(spec, model, train, seed=run.params["seed"])


def drawn(folder: Path, columns: list[str], most: int, *, seed: int) -> tuple[pd.DataFrame, int]:
    """At most so many rows of the Parquet files of a folder, and how many there are.

    Those whose hashes are the lowest, in the order of these: the same rows however they are spread over
    files. Read piece by piece, so that many months need no more memory than one.
    """
    kept, ranks, n_rows = pd.DataFrame(columns=columns), np.empty(0, dtype=np.uint64), 0
    for table in _pieces(folder, columns):
        # Whole numbers come as fractions where a piece lacks one of them: hashed, they always do.
        alike = table.astype(dict.fromkeys(table.select_dtypes("integer"), "float64"))
        hashes = pd.util.hash_pandas_object(alike, index=False).to_numpy() ^ np.uint64(seed)
        ranks = np.concatenate([ranks, pd.util.hash_array(hashes)])
        table = pd.concat([kept, table], ignore_index=True) if n_rows else table
        lowest = np.argsort(ranks, kind="stable")[:most]
        kept, ranks, n_rows = table.iloc[lowest].reset_index(drop=True), ranks[lowest], n_rows + len(hashes)
    return kept, n_rows


def _pieces(folder: Path, columns: list[str]) -> Iterator[pd.DataFrame]:
    for file in dataset(folder, format="parquet").files:
        for batch in ParquetFile(file).iter_batches(READ_ROWS, columns=columns):
            yield batch.to_pandas()


def _spec(train: pd.DataFrame, *, usual_error: float) -> dict[str, Any]:
    def seen(name: str) -> list[float] | None:
        """None where every value is missing."""
        found = train[name].dropna()
        return [float(found.min()), float(found.max())] if len(found) else None

    return {
        "title": "What will be tipped?",
        "entity": "trip",
        "description": "The tip of a taxi trip in dollars, from what the meter knows at its end.",
        "task": "regression",
        "fields": [
            {"name": "vendor_id", "type": "integer", "label": "Vendor", "min": 0,
             "max": HIGHEST_VENDOR, "seen": seen("vendor_id")},
            {"name": "passenger_count", "type": "integer", "label": "Passengers", "required": False,
             "nullable": True, "min": 0, "max": MOST_PASSENGERS, "seen": seen("passenger_count"),
             "default": 1},
            {"name": "trip_distance", "type": "number", "label": "Distance", "unit": "miles", "min": 0,
             "max": LONGEST_TRIP, "seen": seen("trip_distance")},
            {"name": "payment_type", "type": "integer", "label": "Paid by",
             "help": "Only tips that are paid by card are known to the meter.",
             "choices": {"values": [{"value": code, "label": label} for code, label in PAYMENTS.items()]}},
            {"name": "fare_amount", "type": "number", "label": "Fare", "unit": "$", "min": 0,
             "max": LARGEST_FARE, "seen": seen("fare_amount")},
        ],
        "derived": [{"name": "fare_per_mile", "expression": "fare_amount / (trip_distance + 0.1)"}],
        "slices": ["payment_type"],
        "output": {"unit": "$", "usual_error": usual_error},
        "primary_metric": "mae",
        "example": {"vendor_id": 2, "passenger_count": 1, "trip_distance": 2.4, "payment_type": 1,
                    "fare_amount": 14.2},
    }  # fmt: skip


TRAINING = TaxiTraining()
