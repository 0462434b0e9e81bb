"""Spark jobs on a real stack: the JVM, the worker, watch. The stack's own end: `stack/test_recovery.py`."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.api import Caller, ok, wait_for
from tests.integration.real_jobs import driver, left, submit, wait_until, whole_log, write_trips
from tests.running_stack import RunningStack


@pytest.fixture(scope="module")
def engineer(stack: RunningStack) -> Caller:
    return Caller(stack, f"jobs-{uuid.uuid4().hex[:6]}", "engineer")


@pytest.fixture(scope="module")
def source(stack: RunningStack) -> Iterator[Path]:
    """Four trips in the output folder, of which two have no distance."""
    path = Path(stack.env["CONSOLE_OUTPUT_DIR"]) / f"trips-{uuid.uuid4().hex[:6]}.parquet"
    write_trips(path)
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.journey
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
    java = wait_for("driver", lambda: driver(stack, job_id), timeout_s=120)
    block = range(stack.config.port_base + 20, stack.config.port_base + 40)

    def shows() -> bool:
        return bool({port for _, port in listening(java)} & {*block}) or not java.is_running()

    wait_for("Spark's UI", shows, timeout_s=120)
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


def test_source_outside_the_folders_is_refused(engineer):
    for source in ("/etc/passwd", "../../etc/passwd", "no-such-file.parquet"):
        answer = engineer.post("/jobs", {"app": "clean_trips", "params": {"source": source}})
        assert answer.status_code == 422
        assert [fault["field"] for fault in answer.json()["errors"]] == ["params.source"]
    assert not [job for job in ok(engineer.get("/jobs"))["results"] if "passwd" in str(job["params"])]
