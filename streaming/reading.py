"""What people write to say where reading a topic begins: earliest, latest, a time, partition:offset."""

import re
from datetime import UTC

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _

from core.lib.errors import InvalidRequest
from streaming.gateway import MAX_LIMIT
from streaming.kafka_types import Start
from streaming.models import TOPIC_NAME

_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})\Z")
_NUMBER = re.compile(r"[0-9]{1,9}")


def start(text: str) -> Start:
    """Raises InvalidRequest."""
    if text in ("earliest", "latest"):
        return Start(text)
    if place := _PLACE.match(text):
        return Start("offset", partition=int(place[1]), offset=int(place[2]))
    try:
        at = parse_datetime(text)
    except ValueError:
        at = None
    if at is None:
        message = _(
            "Write earliest, latest, a time like 2024-01-31T12:30:00Z, or partition:offset like 0:120."
        )
        raise InvalidRequest(message, errors=[{"field": "from", "message": message}])
    if is_naive(at):
        at = at.replace(tzinfo=UTC)
    return Start("time", at_ms=max(0, int(at.timestamp() * 1000)))  # below zero are Kafka's special places


def limit(text: str) -> int:
    """1 to 200. Raises InvalidRequest."""
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        message = _("Write a number from 1 to %(n)d.") % {"n": MAX_LIMIT}
        raise InvalidRequest(message, errors=[{"field": "limit", "message": message}])
    return int(text)


def topic_name(text: str) -> str:
    """Raises InvalidRequest for what can be no topic."""
    if not re.fullmatch(TOPIC_NAME, text):
        raise InvalidRequest(
            _("That can be no topic: letters, digits, dots, dashes, underscores, at most 249.")
        )
    return text
