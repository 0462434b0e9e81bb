"""Reading messages of a topic from a place on, for people: no group is joined, nothing is committed."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, Self

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.utils.translation import gettext as _

from core.lib import kafka
from core.lib.errors import NotFound, Unavailable
from streaming.kafka_types import Read, Start, Topic

log = structlog.get_logger(__name__)

READ_FOR_S: Final = 4.0
VIEWER: Final = "atalaya-viewer"  # never joined, never committed
AT_ONCE: Final = 50
STEP_GROWS: Final = 8
# What is fetched ahead lies in memory, whatever is kept of it.
CONFIG: Final = {
    "enable.partition.eof": True,
    "fetch.message.max.bytes": 512 * 1024,
    "fetch.max.bytes": 8 * 1024 * 1024,
    "queued.max.messages.kbytes": 8 * 1024,
}
# Of a key or a value so much is kept for a page: as many characters as are shown, of four bytes.
KEPT_BYTES: Final = 64 * 1024
KEPT_HEADER_BYTES: Final = 16 * 1024


def starts(topic: Topic, start: Start, at_time: Mapping[int, int]) -> dict[int, int]:
    """The offset at which each partition is read; partitions with nothing to read are left out.

    at_time: for a start at a time, by partition the first offset of that time or later, -1 for none.
    Raises NotFound for a partition that is not there, and Unavailable where Kafka tells of none that is asked
    for.
    """
    ranges = topic.ranges
    if start.kind == "offset" and start.partition not in {one.number for one in topic.partitions}:
        raise NotFound(_("The topic has no partition %(n)d.") % {"n": start.partition})
    if start.partition not in ranges if start.kind == "offset" else not ranges:
        raise _untold()
    if start.kind == "offset":
        wanted = {start.partition: start.offset}
    elif start.kind == "time":
        wanted = {number: offset for number, offset in at_time.items() if offset >= 0}
    else:
        wanted = dict.fromkeys(ranges, 0)
    found = {number: max(offset, ranges[number][0]) for number, offset in wanted.items() if number in ranges}
    return {number: offset for number, offset in found.items() if offset < ranges[number][1]}


def read(topic: str, starts: Mapping[int, int], ends: Mapping[int, int], *, most: int) -> list[Read]:
    """The first `most` by time from the starts on, unless the time is over before.

    starts, ends: by partition the first offset, and the one before which to stop. Raises KafkaException, and
    Unavailable when the time was over before there was any.
    """
    found: list[Read] = []
    if not starts:
        return found
    with _Reader(topic) as reader:
        for message in reader.messages(starts, ends, most=most):
            found.append(_as_read(message))
            if len(found) >= most + AT_ONCE:
                found = _oldest(found, most)
        reader.require(found)
    return _oldest(found, most)


def latest(topic: Topic, *, most: int) -> list[Read]:
    """The newest messages, oldest first, and the last of each partition among them; raises as `read`.

    Offsets may be empty: markers of transactions, what was taken back, what compaction left out. So it steps
    back in a partition as long as that may hold a message that belongs to the newest.
    """
    if not topic.ranges:
        raise _untold()
    ranges = {number: (low, high) for number, (low, high) in topic.ranges.items() if low < high}
    lows = {number: low for number, (low, _high) in ranges.items()}
    ends = {number: high for number, (_low, high) in ranges.items()}
    starts = {number: max(lows[number], end - most) for number, end in ends.items()}
    found: list[Read] = []
    n_read: Counter[int] = Counter()
    step = most
    with _Reader(topic.name) as reader:
        while starts:
            for message in reader.messages(starts, ends):
                n_read[message.partition()] += 1
                found.append(_as_read(message))
                if len(found) >= most + AT_ONCE:
                    found = _newest(found, most)
            found = _newest(found, most)
            reader.require(found)
            n_kept = Counter(one.partition for one in found)
            step *= STEP_GROWS
            ends = {
                number: start
                for number, start in starts.items()
                if start > lows[number]
                and n_read[number] < most
                and (len(found) < most or n_kept[number] == n_read[number])
            }
            starts = (
                {}
                if reader.is_late
                else {number: max(lows[number], end - step) for number, end in ends.items()}
            )
    return found


def one(topic: str, partition: int, offset: int) -> Read | None:
    """This message, whole; None when it is no longer there. Raises as `read`.

    Where the topic does not reach so far, as one made anew, Kafka's client reads from its start.
    """
    with _Reader(topic) as reader:
        for message in reader.messages({partition: offset}, {partition: offset + 1}):
            return _as_read(message, is_whole=True) if message.offset() == offset else None
        reader.require([])
    return None


def _untold() -> Unavailable:
    return Unavailable(_("Kafka does not tell of the partition now. Try again soon."), service="kafka")


def in_order(read: Read) -> tuple[int, int, int]:
    """By time, where there is one."""
    return read.at_ms or 0, read.partition, read.offset


def _oldest(found: list[Read], most: int) -> list[Read]:
    return sorted(found, key=in_order)[:most]


def _newest(found: list[Read], most: int) -> list[Read]:
    """The last by time, and among them the last of each partition, where those are at most half of all.

    Senders write times as they like, or none: those of the far future would leave the rest no room for ever.
    """
    now_ms = int(time.time() * 1000)

    def moment(read: Read) -> tuple[int, int, int]:
        return min(read.at_ms or 0, now_ms), read.partition, read.offset

    last = {one.partition: one for one in sorted(found, key=lambda one: one.offset)}
    kept = list(last.values()) if len(last) <= most // 2 else []
    places = {(one.partition, one.offset) for one in kept}
    others = [one for one in sorted(found, key=moment) if (one.partition, one.offset) not in places]
    n_others = most - len(kept)
    return sorted([*kept, *others[len(others) - min(n_others, len(others)) :]], key=moment)


class _Reader:
    """A consumer for some seconds. is_late: they were over before all was read."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._consumer = Consumer(kafka.consumer_config(VIEWER, **CONFIG, **kafka.quiet(log)))
        self._deadline = time.monotonic() + READ_FOR_S
        self.is_late = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def messages(
        self, starts: Mapping[int, int], ends: Mapping[int, int], *, most: int | None = None
    ) -> Iterator[Message]:
        """Those of [start, end) of each partition, as far as there is time, and at most so many of it.

        What is done is read no further: else the client would hand over all that one partition has before the
        others have their turn. Raises KafkaException.
        """
        places = [TopicPartition(self._topic, number, offset) for number, offset in starts.items()]
        self._consumer.assign(places)
        is_open = set(starts)
        n_read: Counter[int] = Counter()
        while is_open:
            if time.monotonic() >= self._deadline:
                self.is_late = True
                return
            done: set[int] = set()
            for message in self._consumer.consume(AT_ONCE, 0.2):
                number, error = message.partition(), message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if number not in is_open - done:
                    continue
                if error is None and message.offset() < ends[number]:
                    n_read[number] += 1
                    yield message
                if error is not None or message.offset() + 1 >= ends[number] or n_read[number] == most:
                    done.add(number)
            is_open -= done
            if done and is_open:
                self._consumer.incremental_unassign([TopicPartition(self._topic, one) for one in done])

    def require(self, found: list[Read]) -> None:
        """Nothing found in time does not mean that there is nothing. Raises Unavailable then."""
        if self.is_late and not found:
            message = _("Kafka sent no message of %(topic)s within %(n)d seconds. Try again soon.")
            raise Unavailable(message % {"topic": self._topic, "n": READ_FOR_S}, service="kafka")


def _as_read(message: Message, *, is_whole: bool = False) -> Read:
    """Without the flag only as much of it as is shown."""
    kind, at_ms = message.timestamp()
    key, value = message.key(), message.value()
    found, has_odd_names = headers(message)
    return Read(
        partition=message.partition(),
        offset=message.offset(),
        at_ms=at_ms if kind and at_ms >= 0 else None,  # producers may leave it at -1
        key=key if is_whole else key and key[:KEPT_BYTES],
        value=value if is_whole else value and value[:KEPT_BYTES],
        headers=found if is_whole else _kept(found),
        key_bytes=len(key or b""),
        value_bytes=len(value or b""),
        has_odd_names=has_odd_names,
    )


def _kept(found: list[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """The first ones that there is room for, and a word when there are more."""
    room = KEPT_HEADER_BYTES
    for n_kept, (name, value) in enumerate(found):
        room -= len(name) + len(value or b"")
        if room < 0:
            return [*found[:n_kept], (_("(%(n)d headers more)") % {"n": len(found) - n_kept}, b"")]
    return found


def headers(message: Message) -> tuple[list[tuple[str, bytes | None]], bool]:
    """All, or none where names are no UTF-8: Kafka takes any bytes, the client does not. Whether it is so."""
    try:
        return list(message.headers() or []), False
    except UnicodeDecodeError:
        return [], True
