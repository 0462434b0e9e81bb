"""Redis: one pool a process for plain calls, one for coroutines; short time limits, because callers wait."""

import asyncio
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

RedisError = redis.RedisError  # what callers catch: they need not know the client library

# A page or a prediction waits for these calls: an answer that takes longer is as good as none.
TIMEOUT_S = 2.0

_OPTIONS: dict[str, Any] = {
    "socket_timeout": TIMEOUT_S,
    "socket_connect_timeout": TIMEOUT_S,
    "decode_responses": True,
}


@cache
def client() -> redis.Redis:
    """The client for ordinary code. Raises RedisError when Redis does not answer."""
    # Once more at once: a pooled connection may be from before a restart. The library's retries take seconds.
    retry = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return redis.Redis.from_url(settings.CONSOLE_REDIS_URL, retry=retry, **_OPTIONS)


def async_client() -> redis.asyncio.Redis:
    """A client for coroutines; it belongs to the event loop that first uses it, so keep one for each."""
    retry = AsyncRetry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))
    return redis.asyncio.Redis.from_url(settings.CONSOLE_REDIS_URL, retry=retry, **_OPTIONS)


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()


def loop_client() -> redis.asyncio.Redis:
    """The running loop's own client, made when first asked for."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loop:
        _of_loop[loop] = async_client()
    return _of_loop[loop]
