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
    """Messages that wait. oldest_at: Unix time of the oldest of them, where that is known.

    n_stuck: so many streams take none now; what waits for them nobody can tell, so `n_messages` lacks it.
    """

    n_messages: int
    oldest_at: float | None = None
    n_stuck: int = 0


STUCK: Final = Behind(0, n_stuck=1)


def tell(part: str, found: Mapping[str, Behind]) -> None:
    """Say how far behind this process is with each of its partitions or streams. Raises RedisError."""
    if not found:
        return
    now = time.time()
    with console_redis.client().pipeline() as pipe:
        for name, one in found.items():
            pipe.hset(_key(part), name, json.dumps([now, one.n_messages, one.oldest_at, one.n_stuck]))
        pipe.expire(_key(part), EXPIRES_S)
        pipe.execute()


def of(part: str) -> Behind | None:
    """All of the part together; None when it told nothing lately. Raises RedisError."""
    told = [json.loads(value) for value in console_redis.client().hvals(_key(part))]
    fresh = [Behind(*values) for at, *values in told if time.time() - at <= EXPIRES_S]
    if not fresh:
        return None
    oldest = [one.oldest_at for one in fresh if one.oldest_at is not None]
    n_stuck = sum(one.n_stuck for one in fresh)
    return Behind(sum(one.n_messages for one in fresh), min(oldest, default=None), n_stuck)


def _key(part: str) -> str:
    return f"lag:{part}"
