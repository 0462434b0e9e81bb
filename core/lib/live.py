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
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from core.lib import metrics
from core.lib import redis as console_redis

log = structlog.get_logger(__name__)

SEQ_EXPIRES_S = 7 * 24 * 3600
MOST_IDS = 300  # in one message to each socket


def group_name(topic: str) -> str:
    """The channel layer's name for a topic: its names allow no colon and at most 99 characters."""
    return "live." + hashlib.sha256(topic.encode()).hexdigest()[:32]


def seq_key(topic: str) -> str:
    """The Redis key with the number of the last message of `topic`."""
    return f"live:seq:{topic}"


def since_last_ms(left_ms: int) -> int | None:
    """How long ago the last message of a topic was, by the time that its number is still kept for.

    left_ms: what Redis' PTTL says of `seq_key`. None where there was no message lately.
    """
    return max(0, SEQ_EXPIRES_S * 1000 - left_ms) if left_ms >= 0 else None


def publish(topic: str, ids: Iterable[Any] = ()) -> None:
    """Say, once the transaction is committed, that these rows of `topic` changed.

    Of more than MOST_IDS none is named: whoever listens takes that for any of them.
    """
    changed = [str(id_) for id_ in ids]
    if len(changed) > MOST_IDS:
        changed = []
    transaction.on_commit(lambda: _send(topic, {"kind": "changed", "ids": changed}))


def frame(topic: str, state: dict[str, Any]) -> None:
    """Send the full state of `topic` now: the latest wins."""
    _send(topic, {"kind": "frame", "state": state})


def users_group(user_id: int) -> str:
    """The channel layer's name for all sockets of one user."""
    return f"live.user.{user_id}"


def recheck(user_id: int) -> None:
    """Have the user's sockets look, once the transaction is committed, at whether they may still be open.

    Best effort: they look again by themselves once a minute.
    """
    transaction.on_commit(lambda: _recheck(user_id))


def _recheck(user_id: int) -> None:
    try:
        console_redis.client().publish(*_wire(users_group(user_id), {"type": "live.recheck"}))
    except redis.RedisError as error:
        log.warning("live.not_rechecked", user=user_id, error=str(error))


def _send(topic: str, body: dict[str, Any]) -> None:
    try:
        client = console_redis.client()
        with client.pipeline(transaction=False) as pipe:
            pipe.incr(seq_key(topic))
            pipe.expire(seq_key(topic), SEQ_EXPIRES_S)
            seq = pipe.execute()[0]
        message = {"topic": topic, "seq": seq, "at": timezone.now().isoformat(), **body}
        client.publish(*_wire(group_name(topic), {"type": "live.message", "body": message}))
    except redis.RedisError as error:
        metrics.LIVE_LOST.inc()
        log.warning("live.not_sent", topic=topic, error=str(error))


def _wire(group: str, message: dict[str, Any]) -> tuple[str, bytes]:
    """Channel and bytes as `channels_redis` itself publishes them.

    Its own `group_send` wants an event loop: in ordinary code that is a new loop and a new connection for
    each message, and seconds of retries while Redis is away.
    """
    layer: Any = settings.CHANNEL_LAYERS["default"]
    content = get_channel_layer().serialize(message)
    return f"{layer['CONFIG']['prefix']}__group__{group}", content
