"""Runs a module that touches what nobody vouches for: no environment, no socket, its own folder, limits.

What happens inside the child is in `confine.py`. The child's process group never outlives the call.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

import msgspec

from scoring.confine import Limits, is_strong

KEPT_OUTPUT_BYTES = 64 * 1024
PROBE_BYTES, PROBE_S = 1024**3, 60
CONFINE = "scoring.confine"
__all__ = ["Finished", "Limits", "end", "is_strong", "isolation", "run", "start", "tail"]
ROOT = Path(__file__).resolve().parent.parent


class Finished(msgspec.Struct, frozen=True):
    """isolation: how the child was cut off, as `isolation` tells it; "" when it was not, or never started."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool
    isolation: str
    seconds: float


def run(
    argv: Sequence[str],
    *,
    cwd: Path | str,
    timeout_s: float = 300,
    memory_bytes: int = 4 * 1024**3,
    weak_is_allowed: bool = False,
) -> Finished:
    """Run a Python module with arguments, and wait for it.

    argv: the module's name, then its arguments. cwd: the only folder that it may write to, plain files only.
    weak_is_allowed: run it where the kernel cannot keep it from files or sockets, too; else that is an error
    of the child. Never raises for what the child does: a kill, a crash and a timeout are told by the result.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as news:
        cpu_s = int(timeout_s) * 2 + 10
        limits = Limits(memory_bytes=memory_bytes, cpu_s=cpu_s, weak_is_allowed=weak_is_allowed)
        process = start(argv, cwd=cwd, limits=limits, stdout=out, stderr=err, news=news)
        timed_out = False
        try:
            process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            end(process)
        return Finished(
            returncode=process.returncode,
            stdout=tail(out),
            stderr=tail(err),
            timed_out=timed_out,
            isolation=tail(news),
            seconds=time.monotonic() - started,
        )


@cache
def isolation() -> str:
    """The layers in force on this machine, such as "namespace, landlock, seccomp"; "" is none.

    Asked of a child once in the life of this process, which takes a tenth of a second.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as news:
        limits = Limits(memory_bytes=PROBE_BYTES, cpu_s=PROBE_S)
        quiet = subprocess.DEVNULL
        process = start([], cwd=folder, limits=limits, stdout=quiet, stderr=quiet, news=news)
        try:
            process.wait(timeout=PROBE_S)
        except subprocess.TimeoutExpired:
            return ""
        finally:
            end(process)
        return tail(news)


def start(
    argv: Sequence[str],
    *,
    cwd: Path | str,
    limits: Limits,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    news: IO[bytes],
    descriptors: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """The confined child, running. It ends when its standard input closes, thus when this process dies.

    descriptors: open files and sockets that it gets, under the same numbers; it can open none of its own.
    """
    command = [sys.executable, "-P", "-m", CONFINE, limits.to_argument(), str(news.fileno()), *argv]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=_environment(Path(cwd)),
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        pass_fds=[news.fileno(), *descriptors],
        start_new_session=True,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's group, and reap the child."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _environment(cwd: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(cwd),
        "TMPDIR": str(cwd),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "JOBLIB_MULTIPROCESSING": "0",  # it would ask for shared memory, which is out of reach
    }


def tail(file: IO[bytes]) -> str:
    """The end of what a child wrote: it may have written any amount."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - KEPT_OUTPUT_BYTES))
    return file.read().decode(errors="replace")
