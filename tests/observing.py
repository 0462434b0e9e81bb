"""Prometheus and Alertmanager started as the stack starts them, for one test."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stack.config import Config
from stack.parts import Part

PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
needs_programs = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: prometheus, prometheus-alertmanager)"
)


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
