"""A standalone master and worker of the embedded stack, alone, and drivers that meet it."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.lib.errors import Unavailable
from jobs import gateway
from jobs.folders import Folder
from jobs.outcomes import error_in
from jobs.spark_apps import clean_trips
from stack import supervisor
from tests import running_stack
from tests.integration.real_jobs import write_trips
from tests.running_stack import RunningStack

PORT_BASE = int(running_stack.PORT_BASE) + 100
UI_PORT = PORT_BASE + 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningStack]:
    """Master and worker on a block of ports of their own."""
    stack = RunningStack(
        running_stack.environment(
            CONSOLE_PORT_BASE=str(PORT_BASE),
            CONSOLE_VAR_DIR=f"{running_stack.VAR_DIR}-cluster",
            SPARK_CLUSTER="1",
        )
    )
    done = stack.command("up", "--only", "spark-master,spark-worker")
    assert done.returncode == 0, done.stdout + done.stderr
    yield stack
    stack.down()


@pytest.fixture
def target(cluster, settings) -> gateway.Target:
    """As `make up` tells the console of it."""
    env = cluster.env
    settings.CONSOLE_SPARK_TARGETS = json.loads(env["CONSOLE_SPARK_TARGETS"])
    settings.CONSOLE_SPARK_AUTH_SECRET = env["CONSOLE_SPARK_AUTH_SECRET"]
    settings.CONSOLE_SPARK_DRIVER_MEMORY = "512m"
    return gateway.target("cluster")


def run(target: gateway.Target, folder: Folder, source: Path) -> "subprocess.CompletedProcess[str]":
    """`clean_trips` as a job's launcher starts it."""
    for path in (folder.path, folder.temporary):
        path.mkdir()
    folder.write(folder.params.name, {"source": str(source)})
    folder.write(folder.access.name, {})
    gateway.write_properties(folder, target)
    command = gateway.command(
        f"cluster-{uuid.uuid4().hex[:6]}",
        application=Path(str(clean_trips.__file__)),
        folder=folder,
        output_dir=folder.path / "output",
        ui_port=UI_PORT,
        on=target,
    )
    env = gateway.environment(folder)
    return subprocess.run(command, env=env, cwd=folder.path, capture_output=True, text=True, timeout=240)


def test_a_job_runs_on_the_cluster_and_tells_its_secret_nobody(cluster, target, tmp_path):
    write_trips(tmp_path / "trips.parquet")
    folder = Folder(tmp_path / "job")
    gateway.require_master(target)
    done = run(target, folder, tmp_path / "trips.parquet")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(folder.result.read_text())["rows_kept"] == 2
    assert "Granted executor" in done.stderr
    secret = cluster.env["CONSOLE_SPARK_AUTH_SECRET"]
    assert folder.properties.stat().st_mode & 0o777 == 0o600
    assert secret not in " ".join(done.args) + done.stderr + done.stdout


def test_a_driver_without_the_secret_is_not_let_in(target, tmp_path, settings):
    write_trips(tmp_path / "trips.parquet")
    settings.CONSOLE_SPARK_AUTH_SECRET = ""
    done = run(target, Folder(tmp_path / "job"), tmp_path / "trips.parquet")
    assert done.returncode != 0
    assert "All masters are unresponsive" in done.stderr


def test_a_cluster_without_workers_ends_the_job_in_words(cluster, target, tmp_path):
    write_trips(tmp_path / "trips.parquet")
    supervisor.stop(cluster.config, {"spark-worker"})
    done = run(target, Folder(tmp_path / "job"), tmp_path / "trips.parquet")
    assert done.returncode == 1
    assert f"NoExecutors: {target.master} gave no executor for 60 s" in error_in(done.stdout + done.stderr)
    supervisor.stop(cluster.config, {"spark-master"})
    with pytest.raises(Unavailable, match=f"The Spark master {target.master} does not answer"):
        gateway.require_master(target)
