"""What many ask for at the same time, asked of a service once: kept in Redis for all processes.

A page that is open in a hundred browsers fetches a box a hundred times when it changes. One of them asks the
service, and the others get what it was told; none waits behind the others, for each would hold a thread.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from core.lib import redis as console_redis

log = structlog.get_logger(__name__)

FRESH_S: Final = 5.0
KEPT_S: Final = 60  # what is older than fresh is shown while somebody asks again
LONGEST_S: Final = 60  # a process that died while it asked keeps others from asking for so long
LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True)
class Kept:
    """What a service said. is_fresh: whether lately, and of the same `mark`."""

    text: str
    is_fresh: bool


def once(
    name: str, ask: Callable[[], str], *, mark: str = "", fresh_s: float = FRESH_S, wait_s: float = 0.0
) -> Kept | None:
    """What `ask` gives, now or to somebody else a moment ago.

    mark: what the answer depends on, such as a state; of another mark it is not fresh, and asked again.
    While another one asks, this waits `wait_s` at most, and then gives what was known before, or None.
    Without Redis nobody can tell who asks, so each does. What `ask` raises is the caller's.
    """
    key = f"shared:{name}"
    try:
        lock = console_redis.client().lock(f"{key}:asking", timeout=LONGEST_S)
        give_up_at = time.monotonic() + wait_s
        while not (kept := _kept(key, mark, fresh_s)) or not kept.is_fresh:
            if lock.acquire(blocking=False):
                break
            if time.monotonic() >= give_up_at:
                return kept
            time.sleep(LOOK_EVERY_S)
        else:
            return kept
    except console_redis.RedisError as error:
        return _alone(name, ask, error)
    try:
        kept = _kept(key, mark, fresh_s)  # the one before us may just have been told
        return kept if kept and kept.is_fresh else Kept(_keep(key, mark, ask()), is_fresh=True)
    except console_redis.RedisError as error:
        return _alone(name, ask, error)
    finally:
        _release(lock, name)


def _alone(name: str, ask: Callable[[], str], error: Exception) -> Kept:
    log.warning("shared.not_shared", name=name, error=str(error))
    return Kept(ask(), is_fresh=True)


def _kept(key: str, mark: str, fresh_s: float) -> Kept | None:
    found = console_redis.client().get(key)
    if found is None:
        return None
    at, of, text = orjson.loads(str(found))
    return Kept(text, is_fresh=of == mark and 0 <= time.time() - at < fresh_s)


def _keep(key: str, mark: str, text: str) -> str:
    try:
        console_redis.client().set(key, orjson.dumps([time.time(), mark, text]), ex=KEPT_S)
    except console_redis.RedisError as error:
        log.warning("shared.not_kept", name=key, error=str(error))
    return text


def _release(lock: Any, name: str) -> None:
    """One that lasted longer than it may is another's by now, which is said as an error of Redis."""
    try:
        lock.release()
    except console_redis.RedisError as error:
        log.warning("shared.not_released", name=name, error=str(error))
