"""What people write to say where reading a topic begins: earliest, latest, a time, partition:offset."""

import re

from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import edge, topics, typed
from core.lib.errors import InvalidRequest
from streaming.gateway import MAX_LIMIT
from streaming.kafka_types import Start
from streaming.resetting import Goal

_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})\Z")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")  # Kafka's own rule; streams need room for more at the end


def start(text: str) -> Start:
    """Raises InvalidRequest."""
    if text in ("earliest", "latest"):
        return Start(text)
    if place := _PLACE.match(typed.ungapped(text)):
        return Start("offset", partition=int(place[1]), offset=int(place[2]))
    try:
        at = edge.moment(text, "from")
    except InvalidRequest as error:
        message = _(
            "Write earliest, latest, a time like 2024-01-31T12:30:00Z, or partition:offset like 0:120."
        )
        raise edge.refused("from", message) from error
    return Start("time", at_ms=max(0, int(at.timestamp() * 1000)))  # below zero are Kafka's special places


def goal(text: str) -> Goal:
    """Where a group is to go on: earliest, latest, an offset, or a time. Raises InvalidRequest."""
    if text in ("earliest", "latest"):
        return Goal(text)
    if text.isascii() and text.isdecimal():
        return Goal("offset", edge.whole(text, "to"))
    try:
        at = edge.moment(text, "to")
    except InvalidRequest as error:
        message = _("Write earliest, latest, an offset like 120, or a time like 2024-01-31T12:30:00Z.")
        raise edge.refused("to", message) from error
    return Goal("time", max(0, int(at.timestamp() * 1000)))


def limit(text: str) -> int:
    """1 to 200. Raises InvalidRequest."""
    return edge.whole(text, "limit", least=1, most=MAX_LIMIT)


def topic_name(text: str) -> str:
    """Raises InvalidRequest for what can be no topic."""
    if not _TOPIC.fullmatch(text) or text in {".", ".."}:
        raise InvalidRequest(
            _("No topic has such a name: letters, digits, dots, dashes and underscores, at most 249 of them.")
        )
    return text


def not_kafkas_own(text: str) -> str:
    """The name of a topic to count or to write to. Raises InvalidRequest for one of Kafka's own."""
    if text in topics.KAFKAS_OWN:
        message = _("Kafka keeps its own books in “%(topic)s”. Choose another topic.") % {"topic": text}
        raise InvalidRequest(message, errors=[{"field": "topic", "message": message}])
    return text


def may_read(user: User, topic: str) -> bool:
    """Whether the user may read this topic's messages."""
    scope = topics.scope_of(topic)
    return policy.allows(user, "messages.read") and (not scope or policy.allows(user, scope))


def check_may_read(user: User, topic: str) -> None:
    """Raises Denied unless the user may read this topic's messages, which may need more than others do."""
    policy.check(user, "messages.read", topic)
    if scope := topics.scope_of(topic):
        policy.check(user, scope, topic)
