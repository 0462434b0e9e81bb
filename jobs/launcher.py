"""Runs one job's driver and notes how it ended: `python -m jobs.launcher FOLDER`. No Django, no secrets.

It returns at once, leaving a process in a session of its own behind, which neither the worker's restart nor
its death ends. That one holds the folder's lock as long as it lives. Told to end (TERM or INT) it ends the
driver and all that the driver started; killed, it leaves that to `jobs.settling`.
"""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jobs import log_file, processes
from jobs.folders import Folder

LOOKS_EVERY_S = 0.2
N_TRIES, TRIES_EVERY_S = 10, 0.05
CHUNK_BYTES = 64 * 1024


class Launcher:
    """One run of a driver, from its start to its note about the end."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.plan: dict[str, Any] = {}
        self.told_at: float | None = None
        self.is_late = False
        self.sent: signal.Signals | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note_told)

    def _note_told(self, _number: int, _frame: Any) -> None:
        self.told_at = self.told_at or time.monotonic()

    def _note_late(self, began_at: float) -> None:
        """A job that hangs would keep its place for ever."""
        longest_s = self.plan["longest_s"]  # None: it may run for ever
        if self.told_at is None and longest_s is not None and time.monotonic() - began_at > longest_s:
            self.is_late, self.told_at = True, time.monotonic()

    def run(self) -> None:
        """Start the driver unless told to end before that, follow it, and note how it ended."""
        end: dict[str, Any] = {}
        self.plan = self.folder.launch or {}
        self.folder.write("launcher.json", _present())
        try:
            if self.told_at is None:
                end["code"] = self._drive()
        except OSError as error:  # no such program, no room on the disk
            end["error"] = str(error)
        finally:
            processes.end(self.folder.path)
        is_stopped = self.told_at is not None and not self.is_late
        end |= {"is_stopped": is_stopped, "is_late": self.is_late, "ended_at": time.time()}
        self.folder.write("exit.json", end)

    def _drive(self) -> int:
        log = log_file.Writer(self.folder.log, self.plan["largest_log_bytes"])
        began_at = time.monotonic()
        with subprocess.Popen(
            self.plan["argv"],
            env=self.plan["env"],
            cwd=self.folder.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as driver:
            assert driver.stdout is not None
            pipe = driver.stdout.fileno()
            while driver.poll() is None:
                self._copy(pipe, log, patience_s=LOOKS_EVERY_S)
                self._note_late(began_at)
                self._end_if_told()
            processes.end(self.folder.path)  # they may hold the pipe, and have nobody to work for
            while self._copy(pipe, log, patience_s=0):
                pass
        log.close()
        return driver.returncode

    def _copy(self, pipe: int, log: log_file.Writer, *, patience_s: float) -> bool:
        """Copy what the driver wrote; False when there was nothing."""
        ready, _, _ = select.select([pipe], [], [], patience_s)
        content = os.read(pipe, CHUNK_BYTES) if ready else b""
        if content:
            log.write(content)
        elif ready:  # it closed its output and goes on
            time.sleep(min(patience_s, LOOKS_EVERY_S / 4))
        return bool(content)

    def _end_if_told(self) -> None:
        if self.told_at is None:
            return
        since_s = time.monotonic() - self.told_at - self.plan["asks_for_s"]
        if since_s < 0:
            self.folder.stop.touch()
            return
        is_late = since_s > self.plan["kill_after_s"]
        wanted = signal.SIGKILL if is_late else signal.SIGTERM
        if wanted != self.sent:
            processes.send(self.folder.path, wanted)
            self.sent = wanted


def _is_alone(folder: Folder) -> bool:
    """Take the lock for good. Somebody who looks whether it is free has it for a moment."""
    for _try in range(N_TRIES):
        if folder.take_lock() is not None:
            return True
        time.sleep(TRIES_EVERY_S)
    return False


def _present() -> dict[str, Any]:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": os.getpid(), "boot_id": boot_id, "started_at": time.time()}


def main(path: str) -> int:
    """Leave a launcher behind, unless the job has one or has had one."""
    folder = Folder(Path(path))
    launcher = Launcher(folder)
    if not _is_alone(folder) or folder.has_begun:
        return 0
    if os.fork() == 0:
        os.setsid()
        launcher.run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
