"""Prometheus and Alertmanager started as the stack starts them, for one test."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from stack.config import Config
from stack.parts import Part

PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
WHY = f"not installed: {', '.join(MISSING)} (Debian: prometheus, prometheus-alertmanager)"
# CONSOLE_TEST_NEEDS=prometheus: where changes are let in, a rule that nobody tested is no good one.
ARE_NEEDED = "prometheus" in os.environ.get("CONSOLE_TEST_NEEDS", "").split(",")


def skip_or_fail(*, missing: Sequence[str] = MISSING, are_needed: bool = ARE_NEEDED) -> None:
    """Ends a test for which one of the programs is missing; returns where none is."""
    if missing and are_needed:
        pytest.fail(f"CONSOLE_TEST_NEEDS asks for Prometheus, but {WHY}")
    if missing:
        pytest.skip(WHY)


@pytest.fixture
def programs() -> None:
    skip_or_fail()


needs_programs = pytest.mark.usefixtures("programs")


@contextmanager
def running(part: Part, site: Config) -> Iterator[None]:
    """The part, ready; ended afterwards. AssertionError with its words when it does not become so."""
    program = part.program(site)
    log = program.folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            program.argv, cwd=program.folder, env=dict(program.environment), stdout=stream, stderr=stream
        )
    try:
        deadline = time.monotonic() + 20
        while not _is_ready(part, site):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def _is_ready(part: Part, site: Config) -> bool:
    try:
        part.health(site, 0)
    except OSError:
        return False
    return True
