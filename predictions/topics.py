"""The Kafka topics that predictions need."""

from concurrent.futures import Future

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic
from django.conf import settings
from django.utils.translation import gettext as _

from console.lib import kafka
from console.lib.errors import Unavailable

log = structlog.get_logger(__name__)

N_PARTITIONS = 4
DAY_MS = 24 * 3600 * 1000
TIMEOUT_S = 15


def ensure() -> list[str]:
    """Create the topics that are missing, with as many replicas as the brokers' default; returns those made.

    Raises Unavailable when Kafka does not answer.
    """
    topic = settings.CONSOLE_PREDICTIONS_TOPIC
    wanted = [_topic(topic, N_PARTITIONS, days=7), _topic(f"{topic}.dead", 1, days=30)]
    admin = kafka.admin()  # kept until the end: calls under way die with it
    futures = admin.create_topics(wanted, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S)
    return [name for name, future in futures.items() if _is_made(name, future)]


def _topic(name: str, n_partitions: int, *, days: int) -> NewTopic:
    return NewTopic(name, n_partitions, -1, config={"retention.ms": str(days * DAY_MS)})


def _is_made(name: str, future: "Future[None]") -> bool:
    try:
        future.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        message = _("Kafka did not create the topic %(name)s: %(error)s.")
        raise Unavailable(message % {"name": name, "error": error}, service="kafka") from error
    return True
