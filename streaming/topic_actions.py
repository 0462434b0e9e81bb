"""The click's half for Kafka's topics: create, change, delete, purge, produce."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Final

from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import edge, topics
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unavailable
from streaming import gateway, names, producing, protection, reading, resetting, topic_admin
from streaming.audited import audited
from streaming.kafka_types import Purged, Topic
from streaming.outgoing import Unfit

SCOPE: Final = "streams.edit"
MOST_PARTITIONS: Final = 1_000  # of one topic; each costs every broker files and memory
SEEN_WITHIN_S: Final = 5.0
LOOKS_EVERY_S: Final = 0.1
MIN_IN_SYNC: Final = "min.insync.replicas"


def create_topic(
    *,
    name: str,
    n_partitions: int,
    replication_factor: int | None,
    config: Mapping[str, str],
    by: User,
) -> Topic:
    """Create the topic, and wait for some seconds until every broker knows it.

    replication_factor: None for the brokers' default. Raises InvalidRequest with the field at fault, Conflict
    where a topic has the name.
    """
    policy.check(by, SCOPE, name)
    _refuse_name(name)
    _refuse_number(n_partitions)
    _refuse_unreadable(config)
    _refuse_in_sync(config, replication_factor)
    if taken := names.collision(name):
        raise edge.refused("name", topics.collision_in_words(name, taken))
    after = {"n_partitions": n_partitions, "replication_factor": replication_factor, "config": dict(config)}
    kafka = topic_admin.connect()
    with audited("topic.create", name, by=by, after=after):
        kafka.create(name, n_partitions=n_partitions, replication_factor=replication_factor, config=config)
    return _once_seen(name, n_partitions)


def change_topic(
    name: str, *, n_partitions: int | None = None, config: Mapping[str, str | None], by: User
) -> tuple[Topic, list[str]]:
    """Give the topic more partitions, or other values of settings; None resets one to its default.

    Kafka checks all of it before anything is changed. Returns the topic, and what to be warned of.
    """
    policy.check(by, SCOPE, name)
    protection.refuse(protection.why_not_changed(name))
    _refuse_unreadable(config)
    topic, kafka = gateway.connect().topic(name), topic_admin.connect()
    n_now = len(topic.partitions)
    has_more = n_partitions is not None and n_partitions != n_now
    own: dict[str, str | None] = {}
    if n_partitions is not None and has_more:
        _refuse_fewer(n_now, n_partitions)
        kafka.add_partitions(name, n_partitions, is_trial=True)
    if config:
        _refuse_in_sync(config, topic.n_replicas)
        own = {one.name: one.value for one in kafka.settings(name) if one.is_own}
        kafka.change_settings(name, config, is_trial=True)
    if not config and not has_more:
        return topic, []
    if config:  # two changes to Kafka, so two entries: one may be refused where the other was made
        values = {
            "before": {"config": {key: own.get(key) for key in config}},
            "after": {"config": dict(config)},
        }
        with audited("topic.change", name, by=by, **values):
            kafka.change_settings(name, config)
    if n_partitions is not None and has_more:
        numbers = {"before": {"n_partitions": n_now}, "after": {"n_partitions": n_partitions}}
        with audited("topic.change", name, by=by, **numbers):
            kafka.add_partitions(name, n_partitions)
    return _once_seen(name, n_partitions or 0), [keys_move()] if has_more else []


def delete_topic(name: str, *, by: User) -> None:
    """Delete the topic with all its messages. Raises Conflict where it is the console's or in use."""
    policy.check(by, SCOPE, name)
    protection.refuse(protection.why_not_emptied(name))
    topic = gateway.connect().topic(name)
    before = {"n_partitions": len(topic.partitions), "n_messages": topic.n_messages}
    kafka = topic_admin.connect()
    with audited("topic.delete", name, by=by, before=before):
        kafka.delete(name)


def purge_topic(name: str, *, before: Mapping[int, int] | None, by: User) -> list[Purged]:
    """Delete the messages before an offset by partition; None for all there are.

    A partition that nobody leads is left as it is, and the outcome says so.
    Raises Conflict where the topic is the console's, in use, or compacted only.
    """
    policy.check(by, SCOPE, name)
    protection.refuse(protection.why_not_emptied(name))
    topic = gateway.connect().topic(name)
    numbers, ranges = [one.number for one in topic.partitions], topic.ranges
    wanted = {number: high for number, (_low, high) in ranges.items()} if before is None else dict(before)
    for number, offset in wanted.items():
        if number not in numbers:
            raise edge.refused("offsets", _("The topic has no partition %(n)d.") % {"n": number})
        if number in ranges and offset > ranges[number][1]:
            words = {"n": number, "end": ranges[number][1]}
            raise edge.refused("offsets", _("Partition %(n)d ends at %(end)d: write no more.") % words)
    lost = [number for number in (numbers if before is None else wanted) if number not in ranges]
    wanted = {number: offset for number, offset in wanted.items() if number in ranges}
    unpurged = [Purged(number, None, resetting.nobody_tells()) for number in lost]
    if not wanted:
        raise edge.refused("offsets", resetting.nobody_tells())
    kafka = topic_admin.connect()
    lows = {str(number): ranges[number][0] for number in wanted}
    after = {str(number): offset for number, offset in wanted.items()}
    with audited("topic.purge", name, by=by, before={"first": lows}, after={"first": after}):
        return sorted([*_purged(kafka, name, wanted), *unpurged], key=lambda one: one.partition)


def produce(name: str, messages: Sequence[producing.Wish | Unfit], *, by: User) -> list[producing.Outcome]:
    """Send what is fit, in its order; what became of each. Raises InvalidRequest where nothing is sent.

    Raises Conflict for a topic that only the console writes to.
    """
    policy.check(by, SCOPE, name)
    protection.refuse(protection.why_not_changed(name))
    topic = gateway.connect().topic(name)
    numbers = {partition.number for partition in topic.partitions}
    checked = [_of_the_topic(one, numbers) for one in messages]
    fit = [one for one in checked if isinstance(one, producing.Wish)]
    if not fit:
        _raise_all(checked)
    after = {"n_messages": len(fit), "size_bytes": sum(len(one.message.value or b"") for one in fit)}
    with audited("topic.produce", name, by=by, after=after):
        sent = iter(producing.send(name, fit))
        found = [
            next(sent) if isinstance(one, producing.Wish) else producing.Outcome(error=one.in_words)
            for one in checked
        ]
        if all(one.error and not one.is_unknown for one in found):
            _raise_all([Unfit("value", one.error) for one in found])
    return found


def keys_move() -> str:
    """What more partitions mean for who relies on the order of a key's messages."""
    return _(
        "Keys move: new messages of a key may go to another partition than its old ones, so readers can see "
        "them out of order. Messages that are there stay where they are."
    )


def _refuse_name(name: str) -> None:
    try:
        reading.topic_name(name)
    except InvalidRequest as error:
        raise edge.refused("name", error.message) from error
    if name in topics.KAFKAS_OWN:
        raise edge.refused("name", protection.why_not_changed(name))


def _refuse_number(n_partitions: int) -> None:
    if not 1 <= n_partitions <= MOST_PARTITIONS:
        words = {"most": MOST_PARTITIONS}
        raise edge.refused("n_partitions", _("A topic gets 1 to %(most)d partitions here.") % words)


def _refuse_fewer(now: int, n_partitions: int) -> None:
    _refuse_number(n_partitions)
    if n_partitions < now:
        message = _("There are %(now)d partitions. Kafka takes none away: write %(now)d or more.")
        raise edge.refused("n_partitions", message % {"now": now})


def _refuse_unreadable(config: Mapping[str, str | None]) -> None:
    """What Kafka's client does not take, or would read up to a null character only."""
    if "" in config:
        raise edge.refused("config", _("A setting needs a name."))
    if any("\x00" in text for pair in config.items() for text in pair if text is not None):
        raise edge.refused("config", _("A text holds a null character (\\u0000)."))


def _refuse_in_sync(config: Mapping[str, str | None], n_replicas: int | None) -> None:
    """Kafka takes such a topic, and then no message with acks=all."""
    wanted = config.get(MIN_IN_SYNC) or ""
    if n_replicas and re.fullmatch("[0-9]{1,9}", wanted) and int(wanted) > n_replicas:
        words = {"wanted": wanted, "n": n_replicas}
        message = _(
            "min.insync.replicas=%(wanted)s of %(n)d replicas: no message with acks=all would be taken. "
            "Write %(n)d or less."
        )
        raise edge.refused("config", message % words)


def _once_seen(name: str, n_partitions: int) -> Topic:
    """The topic as soon as the brokers tell of all its partitions: they learn of them one after the other."""
    kafka, deadline = gateway.connect(), time.monotonic() + SEEN_WITHIN_S
    while True:
        try:
            topic = kafka.topic(name)
            if len(topic.partitions) >= n_partitions or time.monotonic() >= deadline:
                return topic
        except (NotFound, Unavailable):
            if time.monotonic() >= deadline:
                raise
        time.sleep(LOOKS_EVERY_S)


def _purged(kafka: topic_admin.TopicAdmin, name: str, wanted: Mapping[int, int]) -> list[Purged]:
    try:
        return kafka.purge(name, wanted)
    except InvalidRequest as error:
        policies = {one.name: one.value or "" for one in kafka.settings(name)}.get("cleanup.policy", "delete")
        if "delete" in policies:
            raise
        message = _(
            "“%(topic)s” is compacted (cleanup.policy=%(policy)s), and Kafka deletes messages only where the "
            "policy has “delete”. It says: %(error)s"
        )
        words = {"topic": name, "policy": policies, "error": error.message}
        raise Conflict(message % words, service="kafka") from error


def _of_the_topic(one: producing.Wish | Unfit, numbers: set[int]) -> producing.Wish | Unfit:
    if isinstance(one, producing.Wish) and one.partition is not None and one.partition not in numbers:
        return Unfit("partition", _("The topic has no partition %(n)d.") % {"n": one.partition})
    return one


def _raise_all(faults: Sequence[producing.Wish | Unfit]) -> None:
    errors = [
        {"row": row, "field": one.field, "message": one.message}
        for row, one in enumerate(faults)
        if isinstance(one, Unfit)
    ]
    raise InvalidRequest(_("No message was sent."), errors=errors)
