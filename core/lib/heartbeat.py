"""Signs of life of the parts that answer no HTTP: a Redis key each, which expires when they stop.

Where CONSOLE_HEARTBEAT_DIR is set they touch a file there too: a container's health must not be Redis's.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping

import redis
import structlog
from django.conf import settings

from core.lib import lag
from core.lib import redis as console_redis

log = structlog.get_logger(__name__)

EVERY_S = 5
EXPIRES_S = 30


def beat(part: str) -> None:
    """Say that `part` is alive now. Raises redis.RedisError when Redis does not answer."""
    _touch(part)
    console_redis.client().set(_key(part), f"{time.time():.3f}", ex=EXPIRES_S)


def _touch(part: str) -> None:
    folder = settings.CONSOLE_HEARTBEAT_DIR
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / part).touch()
    except OSError as error:
        log.warning("heartbeat.not_written", part=part, error=str(error))


def try_beat(part: str) -> None:
    """The same for loops that go on without Redis: they do other work too."""
    try:
        beat(part)
    except redis.RedisError as error:
        log.warning("heartbeat.not_sent", part=part, error=str(error))


def keep(part: str, *, behind: Callable[[], Mapping[str, lag.Behind]] = dict) -> Callable[[], None]:
    """Beat from a thread until the returned function is called or the process ends.

    For a loop that may block for longer than a heartbeat lasts; one that turns often calls `try_beat` itself.
    behind: asked in the same thread each time how far behind Kafka this process is, by partition or stream.
    """
    stopped = threading.Event()

    def loop() -> None:
        while True:
            try_beat(part)
            _try_tell(part, behind)
            if stopped.wait(EVERY_S):
                return

    threading.Thread(target=loop, name=f"heartbeat-{part}", daemon=True).start()
    return stopped.set


def _try_tell(part: str, behind: Callable[[], Mapping[str, lag.Behind]]) -> None:
    try:
        lag.tell(part, behind())
    except Exception as error:  # noqa: BLE001  (the sign of life goes on, whatever was asked)
        log.warning("heartbeat.lag_not_told", part=part, error=str(error))


def last_of(parts: Iterable[str]) -> dict[str, float | None]:
    """Unix time of each part's last sign of life, None where there was none lately."""
    names = list(parts)
    values = console_redis.client().mget([_key(name) for name in names])
    return {name: float(value) if value else None for name, value in zip(names, values, strict=True)}


def last(part: str) -> float | None:
    """Unix time of the last sign of life, or None when there was none lately."""
    return last_of([part])[part]


def _key(part: str) -> str:
    return f"heartbeat:{part}"
