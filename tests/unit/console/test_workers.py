"""What a worker does when its stop hangs."""

import subprocess
import sys

STOP_AND_HANG = """
import time
import celery.worker.worker
from console import workers

workers.LONGEST_STOP_S = 0.2
assert workers.EndsInTime in set(workers.app.steps["worker"])
workers.EndsInTime.stop(None, None)
time.sleep(60)
"""


def test_a_worker_whose_stop_hangs_is_ended():
    done = subprocess.run([sys.executable, "-c", STOP_AND_HANG], timeout=50, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
