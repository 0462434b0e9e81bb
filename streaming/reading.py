"""What people write to say where reading a topic begins: earliest, latest, a time, partition:offset."""

import re

from django.utils.translation import gettext as _

from core.lib import edge
from core.lib.errors import InvalidRequest
from streaming.gateway import MAX_LIMIT
from streaming.kafka_types import Start
from streaming.models import TOPIC_NAME

_PLACE = re.compile(r"([0-9]{1,9}):([0-9]{1,18})\Z")


def start(text: str) -> Start:
    """Raises InvalidRequest."""
    if text in ("earliest", "latest"):
        return Start(text)
    if place := _PLACE.match(text):
        return Start("offset", partition=int(place[1]), offset=int(place[2]))
    try:
        at = edge.moment(text, "from")
    except InvalidRequest as error:
        message = _(
            "Write earliest, latest, a time like 2024-01-31T12:30:00Z, or partition:offset like 0:120."
        )
        raise edge.refused("from", message) from error
    return Start("time", at_ms=max(0, int(at.timestamp() * 1000)))  # below zero are Kafka's special places


def limit(text: str) -> int:
    """1 to 200. Raises InvalidRequest."""
    return edge.whole(text, "limit", least=1, most=MAX_LIMIT)


def topic_name(text: str) -> str:
    """Raises InvalidRequest for what can be no topic."""
    if not re.fullmatch(TOPIC_NAME, text):
        raise InvalidRequest(
            _("That can be no topic: letters, digits, dots, dashes, underscores, at most 200.")
        )
    return text
