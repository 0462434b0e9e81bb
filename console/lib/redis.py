"""Redis: one pool a process for plain calls, one for coroutines; short time limits, because callers wait."""

from functools import cache

import redis
import redis.asyncio
from django.conf import settings

# A page or a prediction waits for these calls: an answer that takes longer is as good as none.
TIMEOUT_S = 2.0


@cache
def client() -> redis.Redis:
    """The client for ordinary code. Raises redis.RedisError when Redis does not answer."""
    return redis.Redis.from_url(
        settings.CONSOLE_REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        decode_responses=True,
    )


def async_client() -> redis.asyncio.Redis:
    """A client for coroutines; it belongs to the event loop that first uses it, so keep one for each."""
    return redis.asyncio.Redis.from_url(
        settings.CONSOLE_REDIS_URL,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        decode_responses=True,
    )
