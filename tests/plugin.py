"""Loaded by pytest before Django's settings are: gives the tests a PostgreSQL and settings of their own.

The caller's CONSOLE_* settings are put aside, so that tests never reach a stack that somebody uses. Workers
of pytest-xdist inherit all this from the process that starts them.
"""

import contextlib
import os
import signal
import tempfile
from pathlib import Path
from types import FrameType

import pytest

from stack import nowhere, throwaway

_until_the_end = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(_until_the_end.close)


def _prepare() -> None:
    nowhere.forget_the_callers()
    var_dir = Path(_until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="atalaya-test-")))
    (var_dir / "static").mkdir()  # whitenoise warns when nobody has collected files into it
    url = _until_the_end.enter_context(throwaway.server())
    urls = {name: url.format(database=name) for name in ("console", "usecases")}
    os.environ.update(nowhere.settings(var_dir, database_url=urls["console"], usecases_url=urls["usecases"]))


def _end_as_after_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


signal.signal(signal.SIGTERM, _end_as_after_ctrl_c)  # so that what the tests started is stopped then, too
if "PYTEST_XDIST_WORKER" not in os.environ:
    _prepare()
