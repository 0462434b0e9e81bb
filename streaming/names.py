"""Names of topics that Kafka cannot tell apart: in its metrics `.` and `_` are one character."""

import structlog

from core.lib import topics
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
    wanted = Stream.objects.values_list("topic", flat=True)
    return "" if topic in there else topics.collision(topic, [*there, *wanted])
