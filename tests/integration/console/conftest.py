"""Parts of the console as processes of their own, on a real Redis and the tests' database."""

import contextlib
import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from console.celery import app
from core.lib import redis as console_redis
from core.lib.env import REPO
from tests import redis_server


@pytest.fixture(scope="module")
def _redis() -> Iterator[redis_server.Server]:
    with redis_server.throwaway(with_port=True) as server:
        yield server


@pytest.fixture
def real_redis(_redis: redis_server.Server, settings: Any) -> Iterator[redis_server.Server]:
    """An empty Redis for the console's settings and for Celery's."""
    settings.CONSOLE_REDIS_URL = _redis.url
    layers = copy.deepcopy(settings.CHANNEL_LAYERS)
    layers["default"]["CONFIG"]["hosts"][0]["address"] = _redis.url
    settings.CHANNEL_LAYERS = layers
    console_redis.client.cache_clear()
    console_redis.client().flushall()
    before = app.conf.broker_write_url
    app.conf.broker_write_url = _redis.url
    app.set_default()
    app.amqp._producer_pool = None
    yield _redis
    app.conf.broker_write_url = before
    app.amqp._producer_pool = None
    console_redis.client.cache_clear()


@pytest.fixture
def part(real_redis: redis_server.Server) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts `python …` with the console's settings, and ends what is left of it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        settings = {"CONSOLE_REDIS_URL": real_redis.url, "CONSOLE_DATABASE_URL": database_url()}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPO,
            env={**os.environ, **settings},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):  # its children too, should they have survived it
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def database_url() -> str:
    """The database that this test's rows are in."""
    found = connection.settings_dict
    return f"postgresql://{found['USER']}@/{found['NAME']}?host={found['HOST']}"


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Waits until the function returns something, and returns that."""

    def wait(found: Callable[[], Any], within_s: float = 60) -> Any:
        deadline = time.monotonic() + within_s
        while not (value := found()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.05)
        return value

    return wait
