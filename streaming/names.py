"""Names of topics that Kafka cannot tell apart: in its metrics `.` and `_` are one character."""

from collections.abc import Iterable

import structlog
from django.utils.translation import gettext as _

from core.lib.errors import ConsoleError
from streaming import gateway
from streaming.models import Stream

log = structlog.get_logger(__name__)


def collision(topic: str) -> str:
    """A topic, there or wanted by a stream, beside which Kafka creates none of this name; empty if none.

    While Kafka is away nobody knows: the stream says later what it met.
    """
    try:
        there = gateway.connect().names()
    except ConsoleError as error:
        log.info("names.not_compared", topic=topic, error=error.message)
        there = set()
    return "" if topic in there else _beside(topic, [*there, *Stream.objects.values_list("topic", flat=True)])


def _beside(topic: str, others: Iterable[str]) -> str:
    return next((name for name in others if name != topic and _as_metric(name) == _as_metric(topic)), "")


def _as_metric(name: str) -> str:
    return name.replace(".", "_")


def in_words(topic: str, taken: str) -> str:
    """For whoever asked for the topic."""
    words = {"topic": topic, "taken": taken}
    return (
        _(
            "Kafka does not create “%(topic)s” beside “%(taken)s”: it tells dots and underscores not apart. "
            "Take that topic, or another name."
        )
        % words
    )
