"""Taking away what the demonstration sent: its replays, and windows that hold nothing else."""

import time
from datetime import datetime, timedelta
from typing import Any

import msgspec
from confluent_kafka import Message
from django.db.models import Min
from django.utils.translation import gettext as _

from core.lib import live
from core.lib.errors import Conflict
from streaming import demo_events, messages, queries
from streaming.models import Replay, ReplayState, Stream

STOPS_WITHIN_S = 90
COUNTED_WITHIN_S = 60
LOOKS_EVERY_S = 1.0
MARGIN = timedelta(minutes=1)  # for clocks: reading somewhat more does no harm
PREDICTIONS = "predictions"


def remove_demo() -> dict[str, int]:
    """Stop and delete the replays, with their windows. Raises Conflict, Unavailable: then nothing is lost."""
    replays = Replay.objects.filter(is_demo=True)
    _stop(replays)
    counts = {"replays": replays.count(), "windows": 0, "shared_windows": 0}
    for topic in set(replays.values_list("topic", flat=True)):
        own = replays.filter(topic=topic)
        since = own.aggregate(at=Min("requested_at"))["at"]
        headers = {str(pk).encode() for pk in own.values_list("pk", flat=True)}
        _remove_windows(topic, lambda message, headers=headers: _replay_of(message) in headers, since, counts)
    replays.delete()
    live.publish("replays")
    return counts


def remove_demo_predictions(since: datetime) -> dict[str, int]:
    """Delete the windows of `predictions` that hold nothing but the demonstration's, made since then."""
    counts = {"windows": 0, "shared_windows": 0}
    for stream in Stream.objects.filter(name=PREDICTIONS):
        _remove_windows(stream.topic, _is_demo_prediction, since, counts)
    return counts


def _remove_windows(topic: str, is_demo: Any, since: datetime, counts: dict[str, int]) -> None:
    for stream in Stream.objects.filter(topic=topic):
        _wait_until_counted(stream)
        removed = demo_events.remove(stream, is_demo, since=since - MARGIN)
        counts["windows"] += removed.n_windows
        counts["shared_windows"] += removed.n_kept


def _stop(replays: Any) -> None:
    """A worker hears of it within a second, and after a crash once the dead one's lease has ended."""
    deadline = time.monotonic() + STOPS_WITHIN_S
    is_open = replays.filter(state__in=(ReplayState.REQUESTED, ReplayState.RUNNING))
    is_open.update(is_stop_asked=True)
    while is_open.exists():
        if time.monotonic() > deadline:
            raise Conflict(_("A replay of the demonstration does not stop. Is the worker running?"))
        time.sleep(LOOKS_EVERY_S)


def _wait_until_counted(stream: Stream) -> None:
    deadline = time.monotonic() + COUNTED_WITHIN_S
    while queries.lags([stream.name])[stream.name]:
        if time.monotonic() > deadline:
            raise Conflict(
                _("“%(name)s” is not counted to its end. Is the aggregator running?") % {"name": stream}
            )
        time.sleep(LOOKS_EVERY_S)


def _replay_of(message: Message) -> bytes | None:
    """Whose event this is, by its header."""
    return dict(messages.headers(message)[0]).get("replay")


def _is_demo_prediction(message: Message) -> bool:
    try:
        record = msgspec.json.decode(message.value() or b"")
    except msgspec.DecodeError:
        return False
    return isinstance(record, dict) and record.get("is_demo") is True
