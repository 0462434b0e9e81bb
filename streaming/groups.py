"""Consumer groups: which there are, how far each is behind, and changes of where one goes on to read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec
from django.utils.translation import gettext as _

from core.lib import kafka
from core.lib.errors import NotFound
from streaming import gateway, places
from streaming.exactly_once import GROUP_PREFIX
from streaming.kafka_errors import AWAY, DENIED, MISSING, as_ours, translated
from streaming.kafka_types import Group, GroupLag, Groups, Member
from streaming.places import Place

log = structlog.get_logger(__name__)


class GroupGateway:
    """One connection for each thing asked; every call ends within seconds."""

    def __init__(self, admin: AdminClient) -> None:
        self._admin = admin

    def groups(self, *, topic: str = "") -> Groups:
        """All consumer groups with their lag, by name; with a topic those that have read from it.

        A group whose coordinator does not answer says so, and stays in: nobody knows what it has read.
        Raises Unavailable when no broker lists any.
        """
        with translated():
            listed = self._admin.list_consumer_groups(request_timeout=gateway.TIMEOUT_S).result()
            if listed.errors and not listed.valid:
                raise KafkaException(listed.errors[0])
            names = _names(listed)
            asked = self._asked([name for name in names if name])
            answers = {name: _of_group(*futures) for name, futures in asked.items()}
            told = {name: of for name, of in answers.items() if not of.is_gone}
            bounds = self._bounds({place for of in told.values() for place in of.committed})
        nameless = [_nameless()] if "" in names else []
        found = nameless + [_group(name, of, bounds) for name, of in told.items()]
        return Groups(
            [
                group
                for group in found
                if not topic or group.n_members is None or any(one.topic == topic for one in group.offsets)
            ],
            _missing_in_words(listed.errors),
        )

    def names(self) -> list[str]:
        """Of all groups. Raises Unavailable within a moment: somebody waits for the answer."""
        with translated():
            timeout_s = min(gateway.TIMEOUT_S, gateway.PAGE_WAITS_S)
            listed = self._admin.list_consumer_groups(request_timeout=timeout_s).result()
        return [name for name in _names(listed) if name]

    def group(self, name: str) -> Group:
        """One group with its members. Raises NotFound, Unavailable."""
        with translated():
            described, listed = self._asked([name])[name]
            told = _Told(described.result(), _committed(listed.result()))
            bounds = self._bounds(set(told.committed))
        if told.is_gone:
            raise NotFound(_("Kafka has no such consumer group."), service="kafka")
        return _group(name, told, bounds)

    def commit(self, name: str, offsets: Mapping[Place, int]) -> None:
        """Have the group go on from these offsets. Raises Conflict while it has members."""
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        with translated():
            asked = ConsumerGroupTopicPartitions(name, wanted)
            future = self._admin.alter_consumer_group_offsets([asked], request_timeout=gateway.TIMEOUT_S)
            taken = future[name].result()
        if refused := next((one.error for one in taken.topic_partitions if one.error is not None), None):
            raise as_ours(refused)

    def delete(self, name: str) -> None:
        """Delete the group with all its offsets. Raises NotFound, and Conflict while it has members."""
        with translated():
            self._admin.delete_consumer_groups([name], request_timeout=gateway.TIMEOUT_S)[name].result()

    def _asked(self, names: list[str]) -> dict[str, tuple[Any, Any]]:
        """By group the answers to come: its description and its offsets. The requests go out together."""
        if not names:
            return {}
        described = self._admin.describe_consumer_groups(names, request_timeout=gateway.TIMEOUT_S)
        return {
            name: (
                described[name],
                self._admin.list_consumer_group_offsets(
                    [ConsumerGroupTopicPartitions(name)], request_timeout=gateway.TIMEOUT_S
                )[name],
            )
            for name in names
        }

    def _bounds(self, asked: set[Place]) -> "_Bounds":
        wanted = [TopicPartition(*place) for place in asked]
        lows, _failures = places.told(self._admin, wanted, OffsetSpec.earliest(), gateway.TIMEOUT_S)
        return _Bounds(lows, *places.told(self._admin, wanted, OffsetSpec.latest(), gateway.TIMEOUT_S))


def _names(listed: Any) -> list[str]:
    """Of others' groups, each once: while a coordinator moves, two brokers list it."""
    return sorted({one.group_id for one in listed.valid if not one.group_id.startswith(GROUP_PREFIX)})


def _nameless() -> Group:
    """Old consumers may commit without naming a group; the client takes no such name."""
    return Group("", "unknown", None, problem=_("Kafka's client does not ask for a group without a name."))


class _Told(NamedTuple):
    """What Kafka told of one group. about: None, and error set, where its coordinator did not answer."""

    about: Any
    committed: dict[Place, int]
    error: KafkaError | None = None

    @property
    def is_gone(self) -> bool:
        """Kafka calls a group that is not there dead, or says so: it was deleted since it was listed."""
        if self.error is not None:
            return bool(self.error.code() == KafkaError.GROUP_ID_NOT_FOUND)
        return self.about.state.name == "DEAD" and not self.committed


class _Bounds(NamedTuple):
    """Where partitions begin and end, as far as Kafka tells, and why it does not tell an end."""

    lows: dict[Place, int]
    ends: dict[Place, int]
    failures: dict[Place, KafkaException]


def _of_group(described: Any, offsets: Any) -> _Told:
    """Each group has a broker of its own, its coordinator: one that is away is no other group's trouble."""
    try:
        about, listed = described.result(), offsets.result()
    except KafkaException as error:
        return _Told(None, {}, error.args[0])
    return _Told(about, _committed(listed))


def _committed(listed: Any) -> dict[Place, int]:
    return {
        (place.topic, place.partition): place.offset
        for place in listed.topic_partitions
        if place.error is None and place.offset >= 0
    }


def _group(name: str, told: _Told, bounds: _Bounds) -> Group:
    if told.error is not None:
        return Group(name, "unknown", None, problem=_untold_in_words(told.error))
    members = [_member(one) for one in told.about.members]
    readers = {place: one.client_id for one in members for place in one.assigned}
    offsets, problem = [], ""
    for place, offset in sorted(told.committed.items()):
        end = bounds.ends.get(place)
        waits_from = max(offset, bounds.lows.get(place, offset))
        lag: int | None = max(0, (end or 0) - waits_from)  # nothing waits in a topic that is gone
        if _is_untold(bounds.failures.get(place)):
            lag = None
        problem = _of_place_in_words(place, offset, bounds) or problem
        offsets.append(GroupLag(*place, offset, lag, end, readers.get(place, "")))
    return Group(name, _state(told.about), len(members), offsets, problem, members)


def _state(about: Any) -> str:
    """Of the newer protocol's states the client has no word for two, in which partitions are shared out."""
    if about.state.name == "UNKNOWN" and about.type is ConsumerGroupType.CONSUMER:
        return "completing_rebalancing"
    return str(about.state.name.lower())


def _is_untold(failure: KafkaException | None) -> bool:
    return failure is not None and failure.args[0].code() not in MISSING


def _of_place_in_words(place: Place, offset: int, bounds: _Bounds) -> str:
    """What is odd about where a group stands in a partition; "" for nothing."""
    words = {"topic": place[0], "partition": place[1], "offset": offset}
    low, end, failure = bounds.lows.get(place), bounds.ends.get(place), bounds.failures.get(place)
    if failure is not None and _is_untold(failure):
        words |= {"error": failure.args[0].str()}
        return _("Nobody tells the end of %(topic)s, partition %(partition)s: %(error)s") % words
    if end is not None and offset > end:
        words |= {"end": end}
        return (
            _(
                "It stands at %(offset)d in %(topic)s, partition %(partition)d, which ends at %(end)d, as one"
                " made anew does. Its consumers go on at the start or at the end, as they are set."
            )
            % words
        )
    if low is not None and end is not None and offset < low < end:
        words |= {"low": low, "n": low - offset}
        return (
            _(
                "It stands at %(offset)d in %(topic)s, partition %(partition)d, which begins at %(low)d: what"
                " lay between is gone."
            )
            % words
        )
    return ""


def _untold_in_words(error: KafkaError) -> str:
    words = {"error": error.str()}
    if error.code() in AWAY:
        return _("Its coordinator is not available: %(error)s") % words
    if error.code() in DENIED:
        return _("Kafka refused the console: %(error)s") % words
    return _("Kafka answered with an error: %(error)s") % words


def _member(about: Any) -> Member:
    assigned = about.assignment.topic_partitions if about.assignment is not None else []
    return Member(
        about.member_id,
        about.client_id,
        about.host,
        about.group_instance_id or "",
        sorted((place.topic, place.partition) for place in assigned),
    )


def _missing_in_words(errors: list[KafkaError | KafkaException]) -> str:
    """Each broker lists the groups that it coordinates: one that is away hides those."""
    if not errors:
        return ""
    first = errors[0].args[0] if isinstance(errors[0], KafkaException) else errors[0]
    return _("Not every broker of Kafka answered, so groups may be missing here: %(error)s") % {
        "error": first.str()
    }


def connect() -> GroupGateway:
    """A gateway with the console's settings; it connects with the first call."""
    return GroupGateway(kafka.admin(**kafka.quiet(log)))
