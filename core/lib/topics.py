"""The Kafka topics that the apps need: each app registers its own, one command creates what is missing."""

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic
from django.utils.translation import gettext as _

from core.lib import kafka
from core.lib.errors import InvalidRequest, Unavailable

log = structlog.get_logger(__name__)

DAY_MS = 24 * 3600 * 1000
TIMEOUT_S = 15


@dataclass(frozen=True)
class Topic:
    """How a topic is created; one that exists stays. max_bytes: of one message, else the broker's.

    scope: the right that reading its messages needs besides that of reading messages at all; "" for none.
    """

    name: str
    n_partitions: int = 1
    days: int = 7
    max_bytes: int | None = None
    scope: str = ""


_registered: list[Topic] = []


def register(*topics: Topic) -> None:
    """Have `ensure` create these; called in `AppConfig.ready`."""
    _registered.extend(topics)


def scope_of(name: str) -> str:
    """What reading this topic's messages needs besides; "" where that is nothing, or nobody registered it."""
    return next((topic.scope for topic in _registered if topic.name == name), "")


def registered() -> list[Topic]:
    """Those that apps of the console own, by name."""
    return sorted(_registered, key=lambda topic: topic.name)


def is_registered(name: str) -> bool:
    """Whether an app of the console owns the topic."""
    return any(topic.name == name for topic in _registered)


def ensure(wanted: Iterable[Topic] | None = None) -> list[str]:
    """Create the topics that are missing, by default all registered ones; returns those made.

    With as many replicas as the brokers' default. Raises Unavailable when Kafka does not answer.
    """
    new = [_new(topic) for topic in (_registered if wanted is None else wanted)]
    admin = kafka.admin(**kafka.quiet(log))  # kept until the end: calls under way die with it
    return [name for name, future in _asked(admin, new).items() if _is_made(name, future)]


def id_of(name: str) -> str:
    """What Kafka calls this topic itself: one deleted and made anew has another. Raises Unavailable."""
    admin = kafka.admin(**kafka.quiet(log))  # kept until the end: calls under way die with it
    try:
        described = admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)
        return str(described[name].result().topic_id)
    except KafkaException as error:
        message = _("Kafka does not tell about the topic %(name)s: %(error)s.") % {
            "name": name,
            "error": error,
        }
        raise Unavailable(message, service="kafka") from error


def _asked(admin: AdminClient, new: list[NewTopic]) -> "dict[str, Future[None]]":
    futures: dict[str, Future[None]] = admin.create_topics(
        new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S
    )
    return futures


def _new(topic: Topic) -> NewTopic:
    config = {"retention.ms": str(topic.days * DAY_MS)}
    if topic.max_bytes is not None:
        config["max.message.bytes"] = str(topic.max_bytes)
    return NewTopic(topic.name, topic.n_partitions, -1, config=config)


def _is_made(name: str, future: "Future[None]") -> bool:
    try:
        future.result()
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        message = _("Kafka did not create the topic %(name)s: %(error)s.") % {"name": name, "error": error}
        if code in (KafkaError.TOPIC_EXCEPTION, KafkaError.POLICY_VIOLATION, KafkaError.INVALID_CONFIG):
            raise InvalidRequest(message, service="kafka") from error
        raise Unavailable(message, service="kafka") from error
    return True
