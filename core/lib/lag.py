"""How far behind Kafka the recorder and the aggregator are, as they tell it themselves.

A Redis hash for each of them, with a field for each partition or stream: processes may share the work.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.lib import redis as console_redis

RECORDER: Final = "recorder"
AGGREGATOR: Final = "aggregator"
PARTS: Final = (RECORDER, AGGREGATOR)
EXPIRES_S: Final = 30  # what nobody has told again for so long is no news


@dataclass(frozen=True)
class Behind:
    """Messages that wait. oldest_at: Unix time of the oldest of them, where that is known."""

    n_messages: int
    oldest_at: float | None = None


def tell(part: str, found: Mapping[str, Behind]) -> None:
    """Say how far behind this process is with each of its partitions or streams. Raises RedisError."""
    if not found:
        return
    now = time.time()
    with console_redis.client().pipeline() as pipe:
        for name, one in found.items():
            pipe.hset(_key(part), name, json.dumps([now, one.n_messages, one.oldest_at]))
        pipe.expire(_key(part), EXPIRES_S)
        pipe.execute()


def of(part: str) -> Behind | None:
    """All of the part together; None when it told nothing lately. Raises RedisError."""
    told = [json.loads(value) for value in console_redis.client().hvals(_key(part))]
    fresh = [(n, oldest_at) for at, n, oldest_at in told if time.time() - at <= EXPIRES_S]
    if not fresh:
        return None
    oldest = [oldest_at for _n, oldest_at in fresh if oldest_at is not None]
    return Behind(sum(n for n, _oldest_at in fresh), min(oldest, default=None))


def _key(part: str) -> str:
    return f"lag:{part}"
