"""Spark jobs on a running stack: submitted, followed, and looked at from outside."""

import contextlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet

from jobs import processes
from tests.api import Caller, ok, wait_for
from tests.running_stack import RunningStack

NOON = datetime(2024, 1, 8, 12)


def write_trips(path: Path) -> None:
    """Four trips, of which two have no distance."""
    n_trips = 4
    columns: dict[str, Any] = {
        "VendorID": [1] * n_trips,
        "lpep_pickup_datetime": [NOON] * n_trips,
        "lpep_dropoff_datetime": [NOON + timedelta(minutes=10)] * n_trips,
        "passenger_count": [1] * n_trips,
        "trip_distance": [2.5, 0.0, 1.5, 0.0],
        "RatecodeID": [1] * n_trips,
        "PULocationID": [10] * n_trips,
        "DOLocationID": [20] * n_trips,
        "payment_type": [1] * n_trips,
        "fare_amount": [10.0] * n_trips,
        "tip_amount": [1.0] * n_trips,
        "tolls_amount": [0.0] * n_trips,
        "total_amount": [11.0] * n_trips,
    }
    pa.parquet.write_table(pa.table(columns), path)


def submit(engineer: Caller, source: Path) -> str:
    body = {"app": "clean_trips", "params": {"source": str(source)}}
    job: dict[str, str] = ok(engineer.post("/jobs", body), 202)
    return job["id"]


def state(engineer: Caller, job_id: str) -> str:
    return str(ok(engineer.get(f"/jobs/{job_id}"))["state"])


def wait_until(engineer: Caller, job_id: str, *states: str, timeout_s: float = 180) -> dict[str, Any]:
    wait_for(f"one of {states}", lambda: state(engineer, job_id) in states, timeout_s=timeout_s)
    found: dict[str, Any] = ok(engineer.get(f"/jobs/{job_id}"))
    return found


def left(stack: RunningStack, job_id: str) -> list[psutil.Process]:
    """The job's processes."""
    return processes.of(stack.config.var_dir.resolve() / "jobs" / job_id)


def driver(stack: RunningStack, job_id: str) -> psutil.Process | None:
    """The driver's JVM, once it is there; the one before it only puts the command line together."""
    for found in left(stack, job_id):
        with contextlib.suppress(psutil.NoSuchProcess):
            if found.name() == "java" and "org.apache.spark.launcher.Main" not in found.cmdline():
                return found
    return None


def whole_log(engineer: Caller, job_id: str) -> str:
    text, cursor, is_complete = "", "0", False
    while not is_complete:
        piece = ok(engineer.get(f"/jobs/{job_id}/log?cursor={cursor}"))
        text, cursor, is_complete = text + piece["text"], piece["cursor"], piece["is_complete"]
    return text
