"""A step that hangs ends when its time is over, under Airflow's own Python as Airflow runs it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.dags.test_parsing import ROOT, airflow_python

SCRIPT = """
import sys, time
from datetime import timedelta
from airflow.sdk import DAG
from dags import steps

limit = steps.GRACE + timedelta(seconds=float(sys.argv[1]))
with DAG("slow", schedule=None, default_args={"execution_timeout": limit}):
    call = steps.step("real_estate.service:ask")('{"dag_id": "slow", "run_id": "1", "params": {}}', "Tuesday")
task = call.operator
task.render_template_fields({"task": task})
task._bundle_path = None
began_at = time.monotonic()
try:
    task.execute_callable()
except Exception as error:
    print(type(error).__name__, f"after {time.monotonic() - began_at:.1f} s")
"""


@pytest.fixture
def silent():
    """A service that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def run(tmp_path: Path, service: str, limit_s: float) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT), "ATALAYA_PYTHON": sys.executable, "ATALAYA_COURSE_API": service,
    }  # fmt: skip
    (tmp_path / "slow.py").write_text(SCRIPT)
    return subprocess.run(
        [airflow_python(), tmp_path / "slow.py", str(limit_s)],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_step_that_hangs_ends_itself_and_says_where_it_was(tmp_path, silent):
    answer = run(tmp_path, silent, 4)
    told = answer.stdout.splitlines()[-1]
    assert told.startswith("CalledProcessError after"), answer.stdout + answer.stderr
    assert float(told.split()[-2]) < 20  # of the 45 s that the service is waited for; the machine may be busy
    assert "Timeout (0:00:04)!" in answer.stdout + answer.stderr
    assert "recipes/common/collect.py" in answer.stdout + answer.stderr
