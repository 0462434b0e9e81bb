"""A standalone master and worker of the embedded stack, alone, and drivers that meet it."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from core.lib.errors import Unavailable
from jobs import gateway
from jobs.folders import Folder
from jobs.outcomes import error_in
from jobs.spark_apps import clean_trips, running
from stack import supervisor
from tests import running_stack
from tests.integration.real_jobs import write_trips
from tests.running_stack import QUICK_TO_START, RunningStack

pytestmark = pytest.mark.journey

PORT_BASE = running_stack.PORT_BASE + 100
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
    settings.CONSOLE_SPARK_CONF = QUICK_TO_START
    return gateway.target("cluster")


class Driver:
    """`clean_trips` as a job's launcher starts it, on four trips; it goes on while others do."""

    def __init__(self, target: gateway.Target, folder: Path, *, ui_port: int) -> None:
        folder.mkdir()
        write_trips(folder / "trips.parquet")
        self.folder = Folder(folder / "job")
        for path in (self.folder.path, self.folder.temporary):
            path.mkdir()
        self.folder.write(self.folder.params.name, {"source": str(folder / "trips.parquet")})
        self.folder.write(self.folder.access.name, {})
        gateway.write_properties(self.folder, target)
        command = gateway.command(
            f"cluster-{uuid.uuid4().hex[:6]}",
            application=Path(str(clean_trips.__file__)),
            folder=self.folder,
            output_dir=self.folder.path / "output",
            ui_port=ui_port,
            on=target,
        )
        self._process = subprocess.Popen(
            command,
            env=gateway.environment(self.folder),
            cwd=self.folder.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> "subprocess.CompletedProcess[str]":
        with self._process as process:
            try:
                out, err = process.communicate(timeout=240)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_a_job_runs_on_the_cluster_for_who_knows_its_secret_and_tells_it_nobody(
    cluster, target, tmp_path, settings
):
    """Spark gives a driver up that it does not let in after a minute: that one waits beside the other."""
    gateway.require_master(target)
    settings.CONSOLE_SPARK_AUTH_SECRET = ""
    refused = Driver(target, tmp_path / "refused", ui_port=UI_PORT)
    secret = settings.CONSOLE_SPARK_AUTH_SECRET = cluster.env["CONSOLE_SPARK_AUTH_SECRET"]
    one = Driver(target, tmp_path / "one", ui_port=UI_PORT + 1)
    done = one.ended()
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(one.folder.result.read_text())["rows_kept"] == 2
    assert "Granted executor" in done.stderr
    assert one.folder.properties.stat().st_mode & 0o777 == 0o600
    assert secret not in " ".join(done.args) + done.stderr + done.stdout

    done = refused.ended()
    assert done.returncode != 0
    assert "All masters are unresponsive" in done.stderr
    assert "Granted executor" not in done.stderr
    gateway.require_master(target)  # it was there all the time


def test_a_cluster_without_workers_ends_the_job_in_words(cluster, target, tmp_path):
    supervisor.stop(cluster.config, {"spark-worker"})
    hasty = replace(target, conf={**target.conf, running.EXECUTORS_WITHIN: "8"})
    done = Driver(hasty, tmp_path / "job", ui_port=UI_PORT).ended()
    assert done.returncode == 1
    assert f"NoExecutors: {target.master} gave no executor for 8 s" in error_in(done.stdout + done.stderr)
    supervisor.stop(cluster.config, {"spark-master"})
    with pytest.raises(Unavailable, match=f"The Spark master {target.master} does not answer"):
        gateway.require_master(target)
