"""Gauges of processes that are gone: a container that starts again in place keeps its folder of metrics."""

import os
import subprocess
import sys

EMPTY = (8).to_bytes(4, sys.byteorder) + bytes(4)  # as the library begins a file: its length, padded
IMPORT = """
import os
from pathlib import Path
folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
(folder / f"gauge_livesum_{os.getpid()}.db").write_bytes(b"of an earlier life of this number")
from core.lib import metrics
metrics.SOCKETS.inc()
print(metrics.exposition().decode())
"""


def test_live_gauges_of_processes_that_are_gone_are_forgotten(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    stale, alive = (tmp_path / f"gauge_livesum_{pid}.db" for pid in (gone.pid, os.getpid()))
    counted = tmp_path / f"counter_{gone.pid}.db"
    for path in (stale, alive, counted):
        path.write_bytes(EMPTY)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "console_socket_open_count 1.0" in done.stdout
    assert [path.exists() for path in (stale, alive, counted)] == [False, True, True]
