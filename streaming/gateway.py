"""Kafka as people look at it: topics, partitions, groups with lag, messages. Reads join no group."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import structlog
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec, TopicDescription
from django.utils.translation import gettext as _

from core.lib import kafka
from core.lib.errors import NotFound, Unauthorized, Unavailable
from streaming import messages
from streaming.exactly_once import GROUP_PREFIX
from streaming.kafka_types import Group, GroupLag, Partition, Read, Start, Topic

log = structlog.get_logger(__name__)

TIMEOUT_S = 5
PAGE_WAITS_S = 1.0  # where the rest of a page waits for the answer
MAX_LIMIT = 200
MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
NO_LEADER = -1  # as Kafka writes it
LEADERLESS = (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        if error.code() in MISSING:
            raise NotFound(_("Kafka has no such topic."), service="kafka") from failure
        if error.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.SASL_AUTHENTICATION_FAILED):
            message = _("Kafka refused the console: %(error)s") % {"error": error.str()}
            raise Unauthorized(message, service="kafka") from failure
        raise Unavailable(_("Kafka is not answering. Try again soon."), service="kafka") from failure


class KafkaGateway:
    """One connection for each thing asked; every call ends within seconds."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    def topics(self) -> list[Topic]:
        """All topics but Kafka's own, by name. Raises Unavailable."""
        with _translated():
            names = sorted(self._admin.list_topics(timeout=TIMEOUT_S).topics)
            described = self._described(names)
            return self._with_offsets([about for about in described if not about.is_internal])

    def names(self) -> set[str]:
        """Of all topics. Raises Unavailable within a moment: somebody waits for the answer."""
        with _translated():
            return set(self._admin.list_topics(timeout=min(TIMEOUT_S, PAGE_WAITS_S)).topics)

    def topic(self, name: str) -> Topic:
        """Raises NotFound, for Kafka's own topics too: nobody reads those here."""
        with _translated():
            about = next(iter(self._described([name])), None)
            if about is None or about.is_internal:
                raise NotFound(_("Kafka has no such topic."), service="kafka")
            return self._with_offsets([about])[0]

    def _described(self, names: list[str]) -> list[TopicDescription]:
        """One request for all; a topic that is not there is left out."""
        if not names:
            return []
        futures = self._admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
        found = []
        for name in names:
            try:
                found.append(futures[name].result())
            except KafkaException as error:
                if error.args[0].code() not in MISSING:
                    raise
        return found

    def _with_offsets(self, abouts: list[TopicDescription]) -> list[Topic]:
        led = [(about, part) for about in abouts for part in about.partitions if part.leader is not None]
        places = [TopicPartition(about.name, part.id) for about, part in led]
        low, high = self._offsets(places, OffsetSpec.earliest()), self._offsets(places, OffsetSpec.latest())
        return [
            Topic(
                about.name,
                [
                    Partition(
                        part.id,
                        *_both((about.name, part.id), low, high),
                        part.leader.id if part.leader is not None else NO_LEADER,
                        len(part.replicas),
                        len(part.isr),
                    )
                    for part in sorted(about.partitions, key=lambda part: part.id)
                ],
            )
            for about in abouts
        ]

    def _offsets(self, places: list[TopicPartition], spec: Any) -> dict[tuple[str, int], int]:
        """One request for all; partitions that nobody leads or that are gone are left out."""
        offsets, failures = self._told(places, spec)
        for failure in failures.values():
            if failure.args[0].code() not in (*MISSING, *LEADERLESS):
                raise failure
        return offsets

    def _told(
        self, places: list[TopicPartition], spec: Any
    ) -> tuple[dict[tuple[str, int], int], dict[tuple[str, int], KafkaException]]:
        """One request for all: offsets, and failures."""
        futures = (
            self._admin.list_offsets(dict.fromkeys(places, spec), request_timeout=TIMEOUT_S) if places else {}
        )
        offsets, failures = {}, {}
        for place, future in futures.items():
            try:
                offsets[place.topic, place.partition] = future.result().offset
            except KafkaException as error:
                failures[place.topic, place.partition] = error
        return offsets, failures

    def ends(self, topic_names: Iterable[str]) -> dict[tuple[str, int], int]:
        """The end of each partition of these topics; topics that are not there are left out."""
        with _translated():
            found = self._admin.list_topics(timeout=min(TIMEOUT_S, PAGE_WAITS_S)).topics
            abouts = [found[name] for name in set(topic_names) if name in found]
            places = [
                TopicPartition(about.topic, number)
                for about in abouts
                for number, part in about.partitions.items()
                if part.leader != NO_LEADER
            ]
            return self._offsets(places, OffsetSpec.latest())

    def groups(self, *, topic: str = "") -> list[Group]:
        """All consumer groups with their lag, by name; with a topic those that have read from it.

        A group whose coordinator does not answer says so, and stays in: nobody knows what it has read.
        """
        with _translated():
            listed = self._admin.list_consumer_groups(request_timeout=TIMEOUT_S).result()
            if listed.errors and not listed.valid:
                raise KafkaException(listed.errors[0])
            names = sorted(one.group_id for one in listed.valid if not one.group_id.startswith(GROUP_PREFIX))
            asked = self._asked(names)
            told = {name: _of_group(*futures) for name, futures in asked.items()}
            places = {place for of in told.values() for place in of.committed}
            ends, failures = self._told([TopicPartition(*place) for place in places], OffsetSpec.latest())
        groups = [_group(name, of, ends, failures) for name, of in told.items()]
        return [
            group
            for group in groups
            if not topic or group.n_members is None or any(offset.topic == topic for offset in group.offsets)
        ]

    def _asked(self, names: list[str]) -> dict[str, tuple[Any, Any]]:
        """By group the answers to come: its description and its offsets. The requests go out together."""
        if not names:
            return {}
        described = self._admin.describe_consumer_groups(names, request_timeout=TIMEOUT_S)
        return {
            name: (
                described[name],
                self._admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(name)], request_timeout=TIMEOUT_S
                )[name],
            )
            for name in names
        }

    def message(self, topic: str, partition: int, offset: int) -> Read | None:
        """The one message at this place; None when it is no longer there.

        Raises Unavailable when Kafka did not say in time.
        """
        with _translated():
            return messages.one(topic, partition, offset)

    def messages(self, name: str, *, start: Start, limit: int) -> list[Read]:
        """Up to `limit` messages from `start` on, oldest first; for "latest" the last ones there are.

        Those that come within seconds; raises Unavailable when none did.
        """
        topic = self.topic(name)
        with _translated():
            if start.kind == "latest":
                return messages.latest(topic, most=limit)
            starts = messages.starts(topic, start, self._at_time(topic, start))
            ends = {partition.number: partition.high for partition in topic.partitions}
            return sorted(messages.read(name, starts, ends, most=limit), key=messages.in_order)

    def _at_time(self, topic: Topic, start: Start) -> dict[int, int]:
        """By partition the first message of that time or later; -1 where there is none."""
        if start.kind != "time":
            return {}
        places = [TopicPartition(topic.name, partition.number) for partition in topic.partitions]
        found = self._offsets(places, OffsetSpec.for_timestamp(start.at_ms))
        return {number: offset for (_topic, number), offset in found.items()}


class _Told(NamedTuple):
    """What Kafka told of one group. about: None, and error set, where its coordinator did not answer."""

    about: Any
    committed: dict[tuple[str, int], int]
    error: KafkaError | None = None


def _of_group(described: Any, offsets: Any) -> _Told:
    """Each group has a broker of its own, its coordinator: one that is away is no other group's trouble."""
    try:
        about, listed = described.result(), offsets.result()
    except KafkaException as error:
        return _Told(None, {}, error.args[0])
    committed = {
        (place.topic, place.partition): place.offset
        for place in listed.topic_partitions
        if place.error is None and place.offset >= 0
    }
    return _Told(about, committed)


def _group(
    name: str,
    told: _Told,
    ends: Mapping[tuple[str, int], int],
    failures: Mapping[tuple[str, int], KafkaException],
) -> Group:
    if told.error is not None:
        away = _("Its coordinator is not available: %(error)s") % {"error": told.error.str()}
        return Group(name, "unknown", None, problem=away)
    offsets, problem = [], ""
    for place, offset in sorted(told.committed.items()):
        failure = failures.get(place)
        lag: int | None = max(0, ends.get(place, offset) - offset)  # nothing waits in a topic that is gone
        if failure is not None and failure.args[0].code() not in MISSING:
            lag = None
            words = {"topic": place[0], "partition": place[1], "error": failure.args[0].str()}
            problem = _("Nobody tells the end of %(topic)s, partition %(partition)s: %(error)s") % words
        offsets.append(GroupLag(*place, offset, lag))
    return Group(name, told.about.state.name.lower(), len(told.about.members), offsets, problem)


def _both(
    place: tuple[str, int], low: Mapping[tuple[str, int], int], high: Mapping[tuple[str, int], int]
) -> tuple[int, int]:
    """The first and the next offset; alike where nobody tells both, so that nothing lies between."""
    one = low.get(place, high.get(place, 0))
    return one, high.get(place, one)


def connect() -> KafkaGateway:
    """A gateway with the console's settings; it connects with the first call."""
    return KafkaGateway(kafka.admin(**kafka.quiet(log)))
