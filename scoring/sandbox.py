"""Runs a module that loads a model nobody vouches for: no environment, no network, its own folder, limits.

What happens inside the child is in `confine.py`. The child's process group never outlives the call.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from scoring.confine import Limits

KEPT_OUTPUT_BYTES = 64 * 1024
ROOT = Path(__file__).resolve().parent.parent


class Finished(msgspec.Struct, frozen=True):
    """isolation: how far the child was cut off, such as "namespace, landlock"; "" when it never started."""

    returncode: int
    stdout: str
    stderr: str
    timed_out: bool
    isolation: str
    seconds: float


def run(
    argv: Sequence[str], *, cwd: Path | str, timeout_s: float = 300, memory_bytes: int = 4 * 1024**3
) -> Finished:
    """Run a Python module with arguments, and wait for it.

    argv: the module's name, then its arguments. cwd: the only folder that it may write to.
    Never raises for what the child does: a kill, a crash and a timeout are told by the result.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as news:
        limits = Limits(memory_bytes=memory_bytes, cpu_s=int(timeout_s) * 2 + 10)
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
            stdout=_tail(out),
            stderr=_tail(err),
            timed_out=timed_out,
            isolation=_tail(news),
            seconds=time.monotonic() - started,
        )


def start(
    argv: Sequence[str],
    *,
    cwd: Path | str,
    limits: Limits,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    news: IO[bytes],
) -> subprocess.Popen[bytes]:
    """The confined child, running. It ends when its standard input closes, thus when this process dies."""
    command = [sys.executable, "-P", "-m", "scoring.confine", limits.to_argument(), str(news.fileno()), *argv]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=_environment(Path(cwd)),
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        pass_fds=[news.fileno()],
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


def _tail(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - KEPT_OUTPUT_BYTES))
    return file.read().decode(errors="replace")
