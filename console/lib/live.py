"""Tell browsers what changed. A page then fetches its fragment again through the ordinary view.

`publish` says which rows of a topic changed; `frame` carries the full state of a chart or log. Both number
what they send, so that a browser sees a gap. A browser that hears nothing shows rows that are merely old, so
a Redis that is away is logged here and stops no work.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import redis
import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from django.utils import timezone

from console.lib import redis as console_redis

log = structlog.get_logger(__name__)


def group_name(topic: str) -> str:
    """The channel layer's name for a topic: its names allow no colon and at most 99 characters."""
    return "live." + hashlib.sha256(topic.encode()).hexdigest()[:32]


def publish(topic: str, ids: Iterable[Any] = ()) -> None:
    """Say, once the transaction is committed, that these rows of `topic` changed."""
    changed = [str(id_) for id_ in ids]
    transaction.on_commit(lambda: _send(topic, {"kind": "changed", "ids": changed}))


def frame(topic: str, state: dict[str, Any]) -> None:
    """Send the full state of `topic` now: the latest wins."""
    _send(topic, {"kind": "frame", "state": state})


def _send(topic: str, body: dict[str, Any]) -> None:
    try:
        seq = console_redis.client().incr(f"live:seq:{topic}")
        message = {"topic": topic, "seq": seq, "at": timezone.now().isoformat(), **body}
        async_to_sync(get_channel_layer().group_send)(
            group_name(topic), {"type": "live.message", "body": message}
        )
    except (redis.RedisError, OSError) as error:
        log.warning("live.not_sent", topic=topic, error=str(error))
