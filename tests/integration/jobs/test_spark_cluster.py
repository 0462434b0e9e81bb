"""A standalone master and worker of the embedded stack, alone, and drivers that meet it."""

import json
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.test import override_settings

from core.lib.errors import Unavailable
from jobs import gateway
from jobs.folders import Folder
from jobs.outcomes import error_in
from jobs.spark_apps import clean_trips, running
from stack import supervisor
from tests import running_stack
from tests.integration.real_jobs import write_trips
from tests.running_stack import QUICK_TO_START, RunningStack

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


@pytest.fixture(scope="module")
def target(cluster: RunningStack) -> Iterator[gateway.Target]:
    """As `make up` tells the console of it."""
    with override_settings(
        CONSOLE_SPARK_TARGETS=json.loads(cluster.env["CONSOLE_SPARK_TARGETS"]),
        CONSOLE_SPARK_AUTH_SECRET=cluster.env["CONSOLE_SPARK_AUTH_SECRET"],
        CONSOLE_SPARK_DRIVER_MEMORY="512m",
        CONSOLE_SPARK_CONF=QUICK_TO_START,
    ):
        yield gateway.target("cluster")


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
        self.command = gateway.command(
            f"cluster-{uuid.uuid4().hex[:6]}",
            application=Path(str(clean_trips.__file__)),
            folder=self.folder,
            output_dir=self.folder.path / "output",
            ui_port=ui_port,
            on=target,
        )
        env = gateway.environment(self.folder)
        with self.folder.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command, env=env, cwd=self.folder.path, stdout=log, stderr=subprocess.STDOUT
            )

    def ended(self) -> tuple[int, str]:
        """Exit status and log, once it has ended."""
        try:
            status = self._process.wait(timeout=240)
        finally:
            self._process.kill()
            self._process.wait()
        return status, self.folder.log.read_text()


@pytest.fixture(scope="module")
def refused(target: gateway.Target, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """One that does not know the secret. Spark gives it up after a minute: the others run meanwhile."""
    gateway.require_master(target)
    with override_settings(CONSOLE_SPARK_AUTH_SECRET=""):
        driver = Driver(target, tmp_path_factory.mktemp("refused") / "it", ui_port=UI_PORT)
    yield driver
    driver.ended()


def test_a_job_runs_on_the_cluster_and_tells_its_secret_nobody(cluster, target, refused, tmp_path):
    one = Driver(target, tmp_path / "one", ui_port=UI_PORT + 1)
    status, log = one.ended()
    assert status == 0, log[-3000:]
    assert json.loads(one.folder.result.read_text())["rows_kept"] == 2
    assert "Granted executor" in log
    assert one.folder.properties.stat().st_mode & 0o777 == 0o600
    secret = cluster.env["CONSOLE_SPARK_AUTH_SECRET"]
    assert secret not in " ".join(one.command) + log


def test_a_cluster_without_workers_ends_the_job_in_words(cluster, target, tmp_path):
    supervisor.stop(cluster.config, {"spark-worker"})
    hasty = replace(target, conf={**target.conf, running.EXECUTORS_WITHIN: "8"})
    status, log = Driver(hasty, tmp_path / "job", ui_port=UI_PORT + 2).ended()
    assert status == 1
    assert f"NoExecutors: {target.master} gave no executor for 8 s" in error_in(log)


def test_a_driver_without_the_secret_is_not_let_in(target, refused):
    status, log = refused.ended()
    assert status != 0
    assert "All masters are unresponsive" in log
    gateway.require_master(target)  # it was there all the time


def test_a_master_that_is_away_is_named(cluster, target):
    supervisor.stop(cluster.config, {"spark-master"})
    with pytest.raises(Unavailable, match=f"The Spark master {target.master} does not answer"):
        gateway.require_master(target)
