"""Signs of life of the parts that answer no HTTP: a Redis key each, which expires when they stop."""

import time

from console.lib import redis

EVERY_S = 5
EXPIRES_S = 30


def beat(part: str) -> None:
    """Say that `part` is alive now. Raises redis.RedisError when Redis does not answer."""
    redis.client().set(_key(part), f"{time.time():.3f}", ex=EXPIRES_S)


def last(part: str) -> float | None:
    """Unix time of the last sign of life, or None when there was none lately."""
    value = redis.client().get(_key(part))
    return float(value) if value else None


def _key(part: str) -> str:
    return f"heartbeat:{part}"
