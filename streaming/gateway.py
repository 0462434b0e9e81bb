"""Kafka as people look at it: topics, partitions, messages. Reads join no group.

What is said of groups is in `groups`, what changes topics in `topic_admin`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import structlog
from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec, TopicDescription
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from core.lib import kafka
from core.lib.errors import NotFound
from streaming import messages, places
from streaming.kafka_errors import MISSING, translated
from streaming.kafka_types import Messages, Partition, Read, Start, Topic

log = structlog.get_logger(__name__)

TIMEOUT_S = 5
PAGE_WAITS_S = 1.0  # where the rest of a page waits for the answer
MAX_LIMIT = 200
NO_LEADER = -1  # as Kafka writes it
MOST_NAMED = 10  # partitions, in a sentence


class KafkaGateway:
    """One connection for each thing asked; every call ends within seconds."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    def topics(self) -> list[Topic]:
        """All topics but Kafka's own, by name. Raises Unavailable."""
        with translated():
            names = sorted(self._admin.list_topics(timeout=TIMEOUT_S).topics)
            described = self._described(names)
            return self._with_offsets([about for about in described if not about.is_internal])

    def names(self) -> set[str]:
        """Of all topics. Raises Unavailable within a moment: somebody waits for the answer."""
        with translated():
            return set(self._admin.list_topics(timeout=min(TIMEOUT_S, PAGE_WAITS_S)).topics)

    def topic(self, name: str) -> Topic:
        """Raises NotFound, for Kafka's own topics too: nobody reads those here."""
        with translated():
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
        asked = [TopicPartition(about.name, part.id) for about, part in led]
        low, high = self._offsets(asked, OffsetSpec.earliest()), self._offsets(asked, OffsetSpec.latest())
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

    def _offsets(self, asked: list[TopicPartition], spec: Any, **how: bool) -> dict[places.Place, int]:
        """As far as brokers tell: one that is late, or dead and not yet known to be, hides no other's."""
        return places.offsets(self._admin, asked, spec, TIMEOUT_S, is_partial=True, **how)

    def ranges(self, topic_names: Iterable[str]) -> dict[places.Place, tuple[int, int]]:
        """The first and the next offset of each partition of these topics, without topics that are not there.

        Raises Unavailable where a leader does not tell: a sum over the others would be none.
        """
        with translated():
            found = self._admin.list_topics(timeout=min(TIMEOUT_S, PAGE_WAITS_S)).topics
            abouts = [found[name] for name in set(topic_names) if name in found]
            asked = [
                TopicPartition(about.topic, number)
                for about in abouts
                for number, part in about.partitions.items()
                if part.leader != NO_LEADER
            ]
            lows, ends = (
                places.offsets(self._admin, asked, spec, TIMEOUT_S)
                for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
            )
        return {place: (low, ends[place]) for place, low in lows.items() if place in ends}

    def message(self, topic: str, partition: int, offset: int) -> Read | None:
        """The one message at this place; None when it is no longer there.

        Raises Unavailable when Kafka did not say in time.
        """
        with translated():
            return messages.one(topic, partition, offset)

    def messages(self, name: str, *, start: Start, limit: int) -> Messages:
        """Up to `limit` committed messages from `start` on; for "latest" the last ones there are.

        Those that come within seconds; raises Unavailable when none did.
        """
        topic = self.topic(name)
        readable = self._readable(topic)
        with translated():
            if start.kind == "latest":
                found = messages.latest(readable, most=limit)
            else:
                at_time = self.at_time(topic, start.at_ms) if start.kind == "time" else {}
                starts = messages.starts(readable, start, at_time)
                ends = {number: high for number, (_low, high) in readable.ranges.items()}
                found = messages.read(name, starts, ends, most=limit)
        numbers = [start.partition] if start.kind == "offset" else [one.number for one in topic.partitions]
        return Messages(found, _missing_in_words(topic, readable, numbers))

    def _readable(self, topic: Topic) -> Topic:
        """The topic as far as its messages are committed: behind an open transaction none is read.

        A reader that waits for what lies there gets no message, and hears of no end.
        """
        asked = [TopicPartition(topic.name, number) for number in topic.ranges]
        with translated():
            ends = self._offsets(asked, OffsetSpec.latest(), is_committed=True)
        return replace(
            topic, partitions=[_ending(one, ends.get((topic.name, one.number))) for one in topic.partitions]
        )

    def at_time(self, topic: Topic, at_ms: int) -> dict[int, int]:
        """By partition the first message of that time or later; -1 where there is none.

        Without partitions that nobody leads: to ask for one would hold up the others' answer.
        """
        asked = [
            TopicPartition(topic.name, one.number) for one in topic.partitions if one.leader != NO_LEADER
        ]
        with translated():
            found = self._offsets(asked, OffsetSpec.for_timestamp(at_ms))
        return {number: offset for (_topic, number), offset in found.items()}


def _both(
    place: places.Place, low: Mapping[places.Place, int], high: Mapping[places.Place, int]
) -> tuple[int | None, int | None]:
    """The first and the next offset, or neither: half of it would be taken for an empty partition."""
    if place in low and place in high:
        return low[place], high[place]
    return None, None


def _ending(partition: Partition, end: int | None) -> Partition:
    if end is None or partition.high is None:
        return replace(partition, low=None, high=None)
    return replace(partition, high=min(end, partition.high))


def _missing_in_words(topic: Topic, readable: Topic, numbers: list[int]) -> str:
    """Why messages of these partitions are not read; "" where nothing is in the way."""
    ends = {number: high for number, (_low, high) in readable.ranges.items() if number in numbers}
    sentences = []
    held = {number: end for number, end in ends.items() if end < topic.ranges[number][1]}
    if held:
        n_held = sum(topic.ranges[number][1] - end for number, end in held.items())
        words = {"n": n_held, "places": _few(f"{number}:{end}" for number, end in held.items())}
        sentences.append(
            ngettext(
                "An open transaction holds back %(n)d offset, until it ends, from here on: %(places)s.",
                "An open transaction holds back %(n)d offsets, until it ends, from here on: %(places)s.",
                n_held,
            )
            % words
        )
    if untold := [number for number in readable.untold if number in numbers]:
        words = {"partitions": _few(map(str, untold))}
        sentences.append(
            _("Kafka does not tell of these partitions now, so they are left out: %(partitions)s.") % words
        )
    return " ".join(sentences)


def _few(texts: Iterable[str]) -> str:
    """The first of them: a topic may have thousands of partitions."""
    some = list(islice(texts, MOST_NAMED + 1))
    return ", ".join(some if len(some) <= MOST_NAMED else [*some[:MOST_NAMED], "…"])


def connect() -> KafkaGateway:
    """A gateway with the console's settings; it connects with the first call."""
    return KafkaGateway(kafka.admin(**kafka.quiet(log)))
