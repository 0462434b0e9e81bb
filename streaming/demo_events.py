"""Which windows hold nothing but what the demonstration sent: its events, counted once more from Kafka."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from core.lib import kafka, live
from core.lib.errors import Unavailable
from streaming.decoding import BadEvent, EventDecoder, Ignored
from streaming.models import DeadLetter, Stream, Window
from streaming.windows import Windows

log = structlog.get_logger(__name__)

BATCH = 5_000
TIMEOUT_S = 15
READ_WITHIN_S = 120

Key = tuple[datetime, str]
IsDemo = Callable[[Message], bool]


class Removed(NamedTuple):
    """n_kept: windows that hold other events too, and therefore stay."""

    n_windows: int
    n_kept: int


def remove(stream: Stream, is_demo: IsDemo, *, since: datetime) -> Removed:
    """Delete the windows and dead letters of events, sent since then, that `is_demo` says are.

    The aggregator begins again from the rows, so that none of them comes back from its memory.
    Raises Unavailable when Kafka does not answer.
    """
    events: list[Message] = []
    places: list[tuple[int, int]] = []
    for message in _messages(stream.topic, since):
        if is_demo(message):
            events.append(message)
            places.append((message.partition(), message.offset()))
    return _remove(stream, _counted(stream, events), places)


@transaction.atomic
def _remove(stream: Stream, counted: Counter[Key], places: list[tuple[int, int]]) -> Removed:
    Stream.objects.select_for_update().filter(pk=stream.pk).update(revision=F("revision") + 1)
    own, others = [], 0
    starts = {start for start, _group in counted}
    for window in Window.objects.filter(stream=stream, shape=stream.shape, start__in=starts):
        if window.count == counted[window.start, window.group]:
            own.append(window.pk)
        elif counted[window.start, window.group]:
            others += 1
    Window.objects.filter(pk__in=own).delete()
    _remove_dead(stream, set(places))
    live.publish("streams", [stream.name])
    return Removed(len(own), others)


def _remove_dead(stream: Stream, places: set[tuple[int, int]]) -> None:
    rows = DeadLetter.objects.filter(stream=stream, topic=stream.topic)
    found = rows.values_list("pk", "partition", "offset")
    rows.filter(pk__in=[pk for pk, *place in found if tuple(place) in places]).delete()


def _counted(stream: Stream, messages: list[Message]) -> Counter[Key]:
    """How many of them each window holds."""
    decoder = EventDecoder(stream.parsed)
    windows = Windows(stream.parsed, decoder)
    now = time.time()
    for first in range(0, len(messages), BATCH):
        events = list(_events(decoder, messages[first : first + BATCH]))
        windows.add(events, now=now, newest=float("-inf"))
    return Counter(
        {
            (datetime.fromtimestamp(start, UTC), group): cell.count
            for (start, group), cell in windows.cells.items()
        }
    )


def _events(decoder: EventDecoder, messages: list[Message]) -> Iterator[Any]:
    for message in messages:
        try:
            yield decoder.checked(message.value())
        except (BadEvent, Ignored):
            continue  # it is in no window


def _messages(topic: str, since: datetime) -> Iterator[Message]:
    """Everything that the topic holds from then on until now."""
    consumer = Consumer(
        kafka.consumer_config("atalaya-reader", **{"enable.partition.eof": True, **kafka.quiet(log)})
    )
    try:
        yield from _until_the_end(consumer, topic, since)
    except KafkaException as error:
        raise Unavailable(
            _("Kafka does not answer: %(error)s") % {"error": error}, service="kafka"
        ) from error
    finally:
        consumer.close()


def _until_the_end(consumer: Consumer, topic: str, since: datetime) -> Iterator[Message]:
    about = consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic]
    if about.error is not None:  # a topic that is gone holds nothing
        return
    at_ms = int(since.timestamp() * 1000)
    wanted = [TopicPartition(topic, number, at_ms) for number in about.partitions]
    consumer.assign(consumer.offsets_for_times(wanted, timeout=TIMEOUT_S))
    left = set(about.partitions)
    deadline = time.monotonic() + READ_WITHIN_S
    while left:
        for message in consumer.consume(BATCH, 1.0):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition())
            else:
                raise KafkaException(error)
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
