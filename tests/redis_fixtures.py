"""Fixtures that give a test a real Redis: `from tests.redis_fixtures import *` in a conftest."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from core.lib import redis as console_redis
from tests import redis_server

__all__ = ["_redis_process", "real_redis"]


@pytest.fixture(scope="session")
def _redis_process() -> Iterator[redis_server.Server]:
    with redis_server.throwaway() as server:
        yield server


@pytest.fixture
def real_redis(_redis_process: redis_server.Server, settings: Any) -> Iterator[redis_server.Server]:
    """An empty Redis that the console's settings point to; the test may stop it."""
    if _redis_process.process is None:
        _redis_process.start()
    settings.CONSOLE_REDIS_URL = _redis_process.url
    layers = copy.deepcopy(settings.CHANNEL_LAYERS)
    layers["default"]["CONFIG"]["hosts"][0]["address"] = _redis_process.url
    settings.CHANNEL_LAYERS = layers
    console_redis.client.cache_clear()
    console_redis.client().flushall()
    yield _redis_process
    console_redis.client().close()
    console_redis.client.cache_clear()
