"""The processes of a job, whoever started them: each carries the job's folder in its environment. No Django.

Python workers of Spark leave the launcher's process group, and a process number may belong to somebody else
after a restart of the machine; neither matters here.
"""

import contextlib
import os
import signal
import time

import psutil

MARK = "ATALAYA_JOB_FOLDER"
PATIENCE_S = 3.0
LOOKS_EVERY_S = 0.05


def of(folder: os.PathLike[str]) -> list[psutil.Process]:
    """All that live, but the one that asks."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_other = process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE
            if is_other and process.environ().get(MARK) == os.fspath(folder):
                found.append(process)
    return found


def send(folder: os.PathLike[str], number: signal.Signals) -> int:
    """Send a signal to all of them; answers how many there were."""
    found = of(folder)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)
    return len(found)


def end(folder: os.PathLike[str]) -> None:
    """End all of them, gently first, and wait until they are gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE_S
        n_left = send(folder, number)
        while n_left and time.monotonic() < deadline:
            time.sleep(LOOKS_EVERY_S)
            n_left = len(of(folder))
        if not n_left:
            return
