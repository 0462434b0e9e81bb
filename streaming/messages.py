"""Reading messages of a topic from a place on, for people: no group is joined, nothing is committed."""

import time
from collections.abc import Mapping
from typing import Final

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.utils.translation import gettext as _

from core.lib import kafka
from core.lib.errors import NotFound
from streaming.kafka_types import Read, Start, Topic

log = structlog.get_logger(__name__)

READ_FOR_S: Final = 4.0
VIEWER: Final = "atalaya-viewer"  # never joined, never committed
CONFIG: Final = {"enable.partition.eof": True, "fetch.message.max.bytes": 512 * 1024}


def starts(topic: Topic, start: Start, limit: int, at_time: Mapping[int, int]) -> dict[int, int]:
    """The offset at which each partition is read; partitions with nothing to read are left out.

    at_time: for a start at a time, by partition the first offset of that time or later, -1 for none.
    Raises NotFound for a partition that is not there.
    """
    partitions = {partition.number: partition for partition in topic.partitions}
    if start.kind == "offset":
        if start.partition not in partitions:
            raise NotFound(_("The topic has no partition %(n)d.") % {"n": start.partition})
        wanted = {start.partition: start.offset}
    elif start.kind == "time":
        wanted = {number: offset for number, offset in at_time.items() if offset >= 0}
    elif start.kind == "latest":
        wanted = {number: partition.high - limit for number, partition in partitions.items()}
    else:
        wanted = dict.fromkeys(partitions, 0)
    found = {number: max(offset, partitions[number].low) for number, offset in wanted.items()}
    return {number: offset for number, offset in found.items() if offset < partitions[number].high}


def read(topic: str, starts: Mapping[int, int], ends: Mapping[int, int], *, most: int) -> list[Read]:
    """Until `most` are read, every partition is at its end, or the time is over.

    starts, ends: by partition the first offset, and the one before which to stop. Raises KafkaException.
    """
    found: list[Read] = []
    open_partitions = set(starts)
    if not open_partitions:
        return found
    consumer = Consumer(kafka.consumer_config(VIEWER, **CONFIG, **kafka.quiet(log)))
    deadline = time.monotonic() + READ_FOR_S
    try:
        consumer.assign([TopicPartition(topic, number, offset) for number, offset in starts.items()])
        while open_partitions and len(found) < most and time.monotonic() < deadline:
            for message in consumer.consume(min(most, 500), 0.2):
                _take(message, found, open_partitions, ends)
    finally:
        consumer.close()
    return found


def _take(message: Message, found: list[Read], open_partitions: set[int], ends: Mapping[int, int]) -> None:
    error = message.error()
    if error is not None:
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        open_partitions.discard(message.partition())
        return
    found.append(_as_read(message))
    if message.offset() + 1 >= ends.get(message.partition(), 0):
        open_partitions.discard(message.partition())


def _as_read(message: Message) -> Read:
    kind, at_ms = message.timestamp()
    return Read(
        partition=message.partition(),
        offset=message.offset(),
        at_ms=at_ms if kind and at_ms >= 0 else None,  # producers may leave it at -1
        key=message.key(),
        value=message.value(),
        headers=headers(message),
    )


def headers(message: Message) -> list[tuple[str, bytes]]:
    """Kafka takes any bytes as a name, the client only UTF-8."""
    try:
        return [(name, value or b"") for name, value in message.headers() or []]
    except UnicodeDecodeError:
        return [(_("(names that are no UTF-8)"), b"")]
