"""A load test's process: started with its plan, watched, ended with all that it started. It writes no row."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.utils.translation import gettext as _

SCRIPT = Path(__file__).with_name("load_script.py")
STARTS_WITHIN_S = 30.0  # Locust's own imports, on a busy machine
LOOKS_EVERY_S = 0.5
SHOWN = 500  # characters of what it said
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


class LoadTestFailed(Exception):
    """Nothing was measured; the message is for whoever asked."""


def run(plan: dict[str, Any], *, still_there: Callable[[], None]) -> dict[str, Any]:
    """What `load_script` measured. still_there: called every half second, so that others see it goes on.

    Raises LoadTestFailed where Locust is not installed, ends badly, or does not end in time.
    """
    python = Path(settings.CONSOLE_LOAD_PYTHON)
    if not python.exists():
        raise LoadTestFailed(
            _(
                "Locust is not installed: `make load` installs it, and tests the model too. For containers"
                " build the console's image with WITH_LOCUST=1."
            )
        )
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as found:
        status = _watched(python, plan, said, found, still_there)
        if status != 0:
            raise LoadTestFailed(
                _("Locust ended with status %(status)s: %(words)s")
                % {"status": status, "words": _end_of(said) or "–"}
            )
        found.seek(0)
        try:
            measured: dict[str, Any] = json.load(found)
        except ValueError as error:
            raise LoadTestFailed(
                _("What Locust measured cannot be read: %(error)s") % {"error": error}
            ) from error
        return measured


def _watched(
    python: Path, plan: dict[str, Any], said: IO[bytes], found: IO[bytes], still_there: Callable[[], None]
) -> int:
    with subprocess.Popen(
        [python, "-u", SCRIPT],
        stdin=subprocess.PIPE,
        stdout=found,
        stderr=said,
        cwd=SCRIPT.parent.parent,
        env={name: os.environ[name] for name in KEPT if name in os.environ},
        start_new_session=True,
    ) as process:
        try:
            _hand_over(process, plan)
            deadline = time.monotonic() + plan["seconds"] + STARTS_WITHIN_S
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise LoadTestFailed(
                        _("It did not end in time, and was ended: %(words)s") % {"words": _end_of(said)}
                    )
                still_there()
                time.sleep(LOOKS_EVERY_S)
            return process.returncode
        finally:
            _end(process)


def _hand_over(process: subprocess.Popen[bytes], plan: dict[str, Any]) -> None:
    """The token goes by the pipe: arguments and environment of a process can be read by others."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it is gone already, and its status says so
        process.stdin.write(json.dumps(plan).encode())
        process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _end_of(stream: IO[bytes]) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - SHOWN))
    return stream.read().decode(errors="replace").strip()
