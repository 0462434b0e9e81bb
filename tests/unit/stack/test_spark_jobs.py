"""The stack finds the processes of its jobs, whoever their parents are, and ends them."""

import os
import subprocess
import sys

import pytest

from jobs import processes
from stack import config, spark_jobs

SLEEP = "import os, time; os.setsid(); time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); print(flush=True)"


@pytest.fixture
def site(tmp_path) -> config.Config:
    return config.from_environment({"CONSOLE_VAR_DIR": str(tmp_path / "a")}, dotenv=tmp_path / ".env")


def leave_process(folder) -> None:
    """One that works for a job of this folder; its parent is gone."""
    environment = {**os.environ, processes.MARK: str(folder)}
    subprocess.run([sys.executable, "-c", PARENT], env=environment, check=True, timeout=20)


def test_jobs_of_this_stack_end_and_those_of_another_go_on(site, tmp_path):
    other = tmp_path / "a-second" / "jobs" / "1"
    leave_process(site.var_dir / "jobs" / "1")
    leave_process(other)
    assert len(spark_jobs.processes(site)) == 1
    assert spark_jobs.end(site)
    assert spark_jobs.processes(site) == []
    assert len(processes.of(other)) == 1
    processes.end(other)
    assert not spark_jobs.end(site)


def test_mark_is_the_one_that_jobs_carry():
    assert spark_jobs.MARK == processes.MARK
