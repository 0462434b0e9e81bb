"""Loaded by pytest before Django's settings are: gives the tests a PostgreSQL and settings of their own.

Every CONSOLE_* setting of the caller is put aside, so that tests never reach a stack that somebody uses. What is
kept: the folders of the input data and of what is installed, and CONSOLE_TEST_DATABASE, the URL of a server to use
instead of a throwaway one. Workers of pytest-xdist inherit all this from the process that starts them.
"""

import contextlib
import os
import tempfile

import pytest

from stack import throwaway

KEPT = {"CONSOLE_DATA_DIR", "CONSOLE_VENV_DIR", "CONSOLE_TEST_DATABASE"}
SECRET = "only-for-tests-" + "x" * 50

_until_the_end = contextlib.ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    config.add_cleanup(_until_the_end.close)


def _prepare() -> None:
    for name in [name for name in os.environ if name.startswith("CONSOLE_") and name not in KEPT]:
        del os.environ[name]
    var_dir = _until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="atalaya-test-"))
    os.environ.update(_settings(var_dir))


def _settings(var_dir: str) -> dict[str, str]:
    """Settings under which the console loads; ports 1 to 9 answer nobody, so what is not faked fails at once."""
    return {
        "CONSOLE_VAR_DIR": var_dir,
        "CONSOLE_PORT_BASE": "18000",
        "CONSOLE_BIND": "127.0.0.1",
        "CONSOLE_PUBLIC_URL": "http://127.0.0.1:18000",
        "CONSOLE_ALLOWED_HOSTS": "127.0.0.1,localhost,testserver",
        "CONSOLE_SECRET_KEY": SECRET,
        "CONSOLE_DATABASE_URL": _database_url(),
        "CONSOLE_REDIS_URL": "redis://:none@127.0.0.1:1/0",
        "CONSOLE_KAFKA_BOOTSTRAP": "127.0.0.1:2",
        "CONSOLE_KAFKA_CONFIG": "{}",
        "CONSOLE_MLFLOW_URL": "http://127.0.0.1:4",
        "CONSOLE_AIRFLOW_URL": "http://127.0.0.1:5",
        "CONSOLE_AIRFLOW_JWT_SECRET": SECRET,
        "CONSOLE_OUTPUT_DIR": os.path.join(var_dir, "output"),
        "CONSOLE_PIPELINE_TOKENS": os.path.join(var_dir, "console_tokens.json"),
    }


def _database_url() -> str:
    given = os.environ.get("CONSOLE_TEST_DATABASE")
    return given or _until_the_end.enter_context(throwaway.server()).format(database="console")


if "PYTEST_XDIST_WORKER" not in os.environ:
    _prepare()
