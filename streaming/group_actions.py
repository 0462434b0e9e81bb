"""The click's half for consumer groups: move their offsets, delete them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import edge
from core.lib.errors import Conflict
from streaming import gateway, groups, protection, reading, resetting
from streaming.audited import audited
from streaming.kafka_errors import busy_in_words
from streaming.kafka_types import Group, Partition, Topic
from streaming.resetting import Goal, Move

SCOPE: Final = "streams.edit"


@dataclass(frozen=True)
class Reset:
    """The moves of a topic's partitions, done or not. blocked: why they cannot be done now; or empty."""

    group: str
    topic: str
    moves: list[Move]
    is_dry_run: bool
    blocked: str = ""

    @property
    def n_moved(self) -> int:
        """Partitions whose offset becomes another one."""
        return sum(1 for move in self.moves if move.after not in (None, move.before))

    @property
    def before(self) -> str:
        """Where the group stood, as a form takes it along."""
        return resetting.before_in_text(self.moves)


def reset_offsets(
    name: str,
    *,
    topic: str,
    goal: Goal,
    partitions: Sequence[int] | None = None,
    is_dry_run: bool = False,
    seen: str = "",
    by: User,
) -> Reset:
    """Move the group's offsets of a topic; a dry run says what would become of each and does nothing.

    partitions: None for all of the topic. seen: `before` of the dry run that somebody says yes to; empty for
    wherever the group stands. Raises Conflict for a group of the console, while the group has members, and
    where it stands elsewhere than was seen; NotFound for what is not there.
    """
    policy.check(by, SCOPE, name)
    group = groups.connect().group(name)
    asked = gateway.connect()
    found = asked.topic(reading.topic_name(topic))
    wanted = _chosen(found, partitions)
    at_time = asked.at_time(found, goal.value) if goal.kind == "time" else {}
    committed = {one.partition: one.committed for one in group.offsets if one.topic == topic}
    moves = resetting.plan(wanted, committed, goal, at_time)
    blocked = protection.why_not_of_group(name) or (busy_in_words() if group.is_busy else "")
    if is_dry_run:
        return Reset(name, topic, moves, True, blocked)
    protection.refuse(blocked)
    if seen and seen != resetting.before_in_text(moves):
        raise Conflict(_("The group has other offsets now than the preview showed: look at a new one."))
    offsets = {(topic, move.partition): move.after for move in moves if move.after is not None}
    if not offsets:
        raise edge.refused("topic", moves[0].note)
    before = {str(move.partition): move.before for move in moves if move.after is not None}
    after = {str(partition): offset for (_topic, partition), offset in offsets.items()}
    about = {"before": {"topic": topic, "offsets": before}, "after": {"topic": topic, "offsets": after}}
    kafka = groups.connect()
    with audited("consumer_group.reset", name, by=by, **about):
        kafka.commit(name, offsets)
    return Reset(name, topic, moves, False)


def delete_group(name: str, *, by: User) -> None:
    """Delete the group with all its offsets: consumers of that name begin as new ones do."""
    policy.check(by, SCOPE, name)
    kafka, group = _held(name)
    protection.refuse(busy_in_words() if group.is_busy else "")
    with audited("consumer_group.delete", name, by=by, before=_offsets(group)):
        kafka.delete(name)


def _held(name: str) -> tuple[groups.GroupGateway, Group]:
    """Raises Conflict for a group of the console, NotFound."""
    protection.refuse(protection.why_not_of_group(name))
    kafka = groups.connect()
    return kafka, kafka.group(name)


def _offsets(group: Group) -> dict[str, dict[str, int]]:
    """By topic and partition."""
    found: dict[str, dict[str, int]] = {}
    for one in group.offsets:
        found.setdefault(one.topic, {})[str(one.partition)] = one.committed
    return found


def _chosen(topic: Topic, numbers: Sequence[int] | None) -> list[Partition]:
    if numbers is None:
        return topic.partitions
    known = {one.number: one for one in topic.partitions}
    if unknown := [number for number in numbers if number not in known]:
        raise edge.refused("partitions", _("The topic has no partition %(n)d.") % {"n": unknown[0]})
    return [known[number] for number in sorted(set(numbers))]
