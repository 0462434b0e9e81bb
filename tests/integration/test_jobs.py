"""Spark jobs on a real stack: the JVM, the worker, watch, and the stack's own end."""

import contextlib
import signal
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet
import pytest

from jobs import processes
from stack import spark_jobs
from tests.api import Caller, ok, wait_for
from tests.running_stack import RunningStack

NOON = datetime(2024, 1, 8, 12)


@pytest.fixture(scope="module")
def engineer(stack: RunningStack) -> Caller:
    return Caller(stack, f"jobs-{uuid.uuid4().hex[:6]}", "engineer")


@pytest.fixture(scope="module")
def source(stack: RunningStack) -> Iterator[Path]:
    """Four trips in the output folder, of which two have no distance."""
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
    path = Path(stack.env["CONSOLE_OUTPUT_DIR"]) / f"trips-{uuid.uuid4().hex[:6]}.parquet"
    pa.parquet.write_table(pa.table(columns), path)
    yield path
    path.unlink(missing_ok=True)


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


def test_job_runs_once_when_worker_and_watch_are_killed_meanwhile(stack, engineer, source):
    job_id = submit(engineer, source)
    stack.kill("worker")
    wait_until(engineer, job_id, "running", "succeeded")
    stack.kill("watch", "worker")
    job = wait_until(engineer, job_id, "succeeded", "failed", "lost")
    assert (job["state"], job["error"]) == ("succeeded", "")
    assert (job["result"]["rows_in"], job["result"]["rows_kept"]) == (4, 2)
    assert job["result"]["dropped"]["no_distance"] == 2
    assert whole_log(engineer, job_id).count("Submitted application") == 1
    assert left(stack, job_id) == []
    stack.wait_until_healthy(["worker", "watch"])


def test_cancelled_job_leaves_no_process_and_listens_on_loopback_only(stack, engineer, source):
    job_id = submit(engineer, source)
    java = wait_for("driver", lambda: driver(stack, job_id), timeout_s=60)
    block = range(stack.config.port_base + 20, stack.config.port_base + 40)
    wait_for("Spark's UI", lambda: {port for _, port in listening(java)} & {*block}, timeout_s=120)
    assert {address for address, _port in listening(java)} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    answer = engineer.post(f"/jobs/{job_id}/cancel")
    assert answer.status_code in {202, 409}  # a quick machine may be done
    assert wait_until(engineer, job_id, "cancelled", "succeeded")["error"] == ""
    assert left(stack, job_id) == []


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    try:
        connections = process.net_connections("tcp")
    except psutil.NoSuchProcess:
        return set()
    return {found.laddr for found in connections if found.status == psutil.CONN_LISTEN}


def test_job_is_lost_and_gone_when_the_stack_is_stopped(stack, engineer, source):
    running = submit(engineer, source)
    java = wait_for("driver", lambda: driver(stack, running), timeout_s=60)
    java.send_signal(signal.SIGSTOP)  # it must not end by itself meanwhile
    stack.down()
    try:
        assert spark_jobs.processes(stack.config) == []
    finally:
        stack.up()
    job = wait_until(engineer, running, "lost", timeout_s=30)
    assert job["error"] == "It was ended from outside: the stack was stopped."


def test_source_outside_the_folders_is_refused(engineer):
    for source in ("/etc/passwd", "../../etc/passwd", "no-such-file.parquet"):
        answer = engineer.post("/jobs", {"app": "clean_trips", "params": {"source": source}})
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["errors"]] == ["params.source"]
    assert not [job for job in ok(engineer.get("/jobs"))["results"] if "passwd" in str(job["params"])]
