"""Kafka as people look at it: topics, partitions, groups with lag, messages. Reads join no group."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from django.utils.translation import gettext as _

from console.lib import kafka
from console.lib.errors import NotFound, Unauthorized, Unavailable
from streaming.exactly_once import GROUP_PREFIX

log = structlog.get_logger(__name__)

TIMEOUT_S = 5
READ_FOR_S = 4.0
PAGE_WAITS_S = 1.0  # where the rest of a page waits for the answer
MAX_LIMIT = 200
VIEWER = "atalaya-viewer"  # never joined, never committed
INTERNAL = "__"


@dataclass(frozen=True)
class Partition:
    """Offsets [low, high): `high` is the offset that the next message gets."""

    number: int
    low: int
    high: int
    leader: int
    n_replicas: int
    n_in_sync: int


@dataclass(frozen=True)
class Topic:
    """A topic with its partitions. n_messages: offsets in use; markers of transactions count too."""

    name: str
    partitions: list[Partition]

    @property
    def n_messages(self) -> int:
        """Upper bound of the messages that it holds now."""
        return sum(partition.high - partition.low for partition in self.partitions)


@dataclass(frozen=True)
class GroupLag:
    """How far a group is behind on one partition."""

    topic: str
    partition: int
    committed: int
    lag_messages: int


@dataclass(frozen=True)
class Group:
    """A consumer group, its members and its lag."""

    name: str
    state: str
    n_members: int
    offsets: list[GroupLag] = field(default_factory=list)

    @property
    def lag_messages(self) -> int:
        """Over all partitions."""
        return sum(offset.lag_messages for offset in self.offsets)


@dataclass(frozen=True)
class Read:
    """A message as it lies in the topic."""

    partition: int
    offset: int
    at_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        missing = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
        if error.code() in missing:
            raise NotFound(_("Kafka has no such topic."), service="kafka") from failure
        if error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.SASL_AUTHENTICATION_FAILED):
            raise Unauthorized(
                _("Kafka refused the console: %(error)s") % {"error": error.str()}
            ) from failure
        raise Unavailable(_("Kafka is not answering. Try again soon."), service="kafka") from failure


class KafkaGateway:
    """One connection for each thing asked; every call ends within seconds."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    def topics(self) -> list[Topic]:
        """All topics but Kafka's own, by name. Raises Unavailable."""
        with _translated():
            found = self._admin.list_topics(timeout=TIMEOUT_S).topics
            return self._with_offsets(
                [about for name, about in sorted(found.items()) if not name.startswith(INTERNAL)]
            )

    def topic(self, name: str) -> Topic:
        """Raises NotFound."""
        with _translated():
            described = self._admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)
            described[name].result()  # raises for one that is not there; list_topics would make some up
            about = self._admin.list_topics(name, timeout=TIMEOUT_S).topics[name]
            if about.error is not None:
                raise KafkaException(about.error)
            return self._with_offsets([about])[0]

    def _with_offsets(self, abouts: Iterable[Any]) -> list[Topic]:
        abouts = list(abouts)
        places = [TopicPartition(about.topic, number) for about in abouts for number in about.partitions]
        low, high = self._offsets(places, OffsetSpec.earliest()), self._offsets(places, OffsetSpec.latest())
        return [
            Topic(
                about.topic,
                [
                    Partition(
                        number,
                        low.get((about.topic, number), 0),
                        high.get((about.topic, number), 0),
                        partition.leader,
                        len(partition.replicas),
                        len(partition.isrs),
                    )
                    for number, partition in sorted(about.partitions.items())
                ],
            )
            for about in abouts
        ]

    def _offsets(self, places: list[TopicPartition], spec: Any) -> dict[tuple[str, int], int]:
        """One request for all; a topic deleted this moment is left out."""
        futures = (
            self._admin.list_offsets(dict.fromkeys(places, spec), request_timeout=TIMEOUT_S) if places else {}
        )
        offsets = {}
        for place, future in futures.items():
            try:
                offsets[place.topic, place.partition] = future.result().offset
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        return offsets

    def ends(self, topic_names: Iterable[str]) -> dict[tuple[str, int], int]:
        """The end of each partition of these topics; topics that are not there are left out."""
        with _translated():
            found = self._admin.list_topics(timeout=min(TIMEOUT_S, PAGE_WAITS_S)).topics
            abouts = [found[name] for name in set(topic_names) if name in found]
            places = [TopicPartition(about.topic, number) for about in abouts for number in about.partitions]
            return self._offsets(places, OffsetSpec.latest())

    def groups(self, *, topic: str = "") -> list[Group]:
        """All consumer groups with their lag, by name; with a topic those that have read from it."""
        with _translated():
            listed = self._admin.list_consumer_groups(request_timeout=TIMEOUT_S).result().valid
            names = sorted(one.group_id for one in listed if not one.group_id.startswith(GROUP_PREFIX))
            if not names:
                return []
            described = self._admin.describe_consumer_groups(names, request_timeout=TIMEOUT_S)
            committed = self._committed(names)
            ends = self._offsets(
                [TopicPartition(*place) for place in {place for of in committed.values() for place in of}],
                OffsetSpec.latest(),
            )
            groups = [self._group(name, described[name].result(), committed[name], ends) for name in names]
        return [
            group for group in groups if not topic or any(offset.topic == topic for offset in group.offsets)
        ]

    def _committed(self, names: list[str]) -> dict[str, dict[tuple[str, int], int]]:
        """By group; the requests go out together."""
        futures = {
            name: self._admin.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(name)], request_timeout=TIMEOUT_S
            )[name]
            for name in names
        }
        return {
            name: {
                (place.topic, place.partition): place.offset
                for place in future.result().topic_partitions
                if place.error is None and place.offset >= 0
            }
            for name, future in futures.items()
        }

    @staticmethod
    def _group(
        name: str, about: Any, committed: Mapping[tuple[str, int], int], ends: Mapping[tuple[str, int], int]
    ) -> Group:
        offsets = [
            GroupLag(topic, partition, offset, max(0, ends.get((topic, partition), offset) - offset))
            for (topic, partition), offset in sorted(committed.items())
        ]
        return Group(name, about.state.name.lower(), len(about.members), offsets)

    def message(self, topic: str, partition: int, offset: int) -> Read | None:
        """The one message at this place; None when it is no longer there."""
        found = self._read({partition: offset}, topic, 1, {partition: offset + 1})
        return next((read for read in found if read.offset == offset), None)

    def messages(self, name: str, *, start: "Start", limit: int) -> list[Read]:
        """Up to `limit` messages from `start` on, oldest first; for "latest" the last ones there are."""
        topic = self.topic(name)
        with _translated():
            starts = self._starts(topic, start, limit)
        ends = {partition.number: partition.high for partition in topic.partitions}
        is_latest = start.kind == "latest"
        found = self._read(starts, name, limit * len(starts) if is_latest else limit, ends)
        found.sort(key=lambda read: (read.at_ms or 0, read.partition, read.offset))
        return found[-limit:] if is_latest else found[:limit]

    def _starts(self, topic: Topic, start: "Start", limit: int) -> dict[int, int]:
        """The offset at which each partition is read; partitions with nothing to read are left out."""
        partitions = {partition.number: partition for partition in topic.partitions}
        if start.kind == "offset":
            if start.partition not in partitions:
                raise NotFound(_("The topic has no partition %(n)d.") % {"n": start.partition})
            partitions = {start.partition: partitions[start.partition]}
        if start.kind == "time":
            places = [TopicPartition(topic.name, number) for number in partitions]
            at = self._offsets(places, OffsetSpec.for_timestamp(start.at_ms))
            wanted = {number: at.get((topic.name, number), -1) for number in partitions}
            wanted = {n: partitions[n].high if offset < 0 else offset for n, offset in wanted.items()}
        elif start.kind == "latest":
            wanted = {number: partition.high - limit for number, partition in partitions.items()}
        else:
            wanted = dict.fromkeys(partitions, start.offset)
        starts = {number: max(offset, partitions[number].low) for number, offset in wanted.items()}
        return {number: offset for number, offset in starts.items() if offset < partitions[number].high}

    def _read(self, starts: Mapping[int, int], topic: str, most: int, ends: Mapping[int, int]) -> list[Read]:
        """Until `most` are read, every partition is at its end, or the time is over."""
        if not starts:
            return []
        config = {"enable.partition.eof": True, "fetch.message.max.bytes": 512 * 1024}
        consumer = Consumer(kafka.consumer_config(VIEWER, **config, **kafka.quiet(log)))
        found: list[Read] = []
        open_partitions = set(starts)
        deadline = time.monotonic() + READ_FOR_S
        try:
            with _translated():
                consumer.assign([TopicPartition(topic, number, offset) for number, offset in starts.items()])
                while open_partitions and len(found) < most and time.monotonic() < deadline:
                    for message in consumer.consume(min(most, 500), 0.2):
                        self._take(message, found, open_partitions, ends)
        finally:
            consumer.close()
        return found

    @staticmethod
    def _take(
        message: Message, found: list[Read], open_partitions: set[int], ends: Mapping[int, int]
    ) -> None:
        error = message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            open_partitions.discard(message.partition())
            return
        kind, at_ms = message.timestamp()
        headers = [(name, value or b"") for name, value in message.headers() or []]
        found.append(
            Read(
                message.partition(),
                message.offset(),
                at_ms if kind else None,
                message.key(),
                message.value(),
                headers,
            )
        )
        if message.offset() + 1 >= ends.get(message.partition(), 0):
            open_partitions.discard(message.partition())


@dataclass(frozen=True)
class Start:
    """Where reading begins: "earliest", "latest", "time" (at_ms) or "offset" (partition, offset)."""

    kind: str
    at_ms: int = 0
    partition: int = 0
    offset: int = 0


def connect() -> KafkaGateway:
    """A gateway with the console's settings; it connects with the first call."""
    return KafkaGateway(kafka.admin(**kafka.quiet(log)))
