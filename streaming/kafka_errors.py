"""What Kafka's client raises, as the console's errors: the one place for topics, groups and messages."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from django.utils.translation import gettext as _

from core.lib.errors import Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable

MISSING: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
DENIED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
)
# Somebody is a member of the group: the broker has different words for it, by what was asked.
BUSY: Final = (
    KafkaError.NON_EMPTY_GROUP,
    KafkaError.GROUP_SUBSCRIBED_TO_TOPIC,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
)
NOT_NOW: Final = (
    KafkaError.TOPIC_ALREADY_EXISTS,
    KafkaError.TOPIC_DELETION_DISABLED,
    KafkaError.REASSIGNMENT_IN_PROGRESS,
)
# The field that each is about; "" where Kafka's words alone say it.
REFUSED: Final = {
    KafkaError.TOPIC_EXCEPTION: "name",
    KafkaError.INVALID_PARTITIONS: "n_partitions",
    KafkaError.INVALID_REPLICATION_FACTOR: "replication_factor",
    KafkaError.INVALID_CONFIG: "config",
    KafkaError.POLICY_VIOLATION: "",
    KafkaError.INVALID_REQUEST: "",
    KafkaError.OFFSET_OUT_OF_RANGE: "",
    KafkaError.INVALID_GROUP_ID: "",
    KafkaError._INVALID_ARG: "",
}
# Nobody answered, or not in time: what was asked may be asked again.
AWAY: Final = (
    KafkaError._TRANSPORT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._RESOLVE,
    KafkaError._WAIT_COORD,
    KafkaError._WAIT_CACHE,
    KafkaError._DESTROY,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.REPLICA_NOT_AVAILABLE,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_CONTROLLER,
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raises NotFound, Conflict, InvalidRequest, Unauthorized or Unavailable for a KafkaException."""
    try:
        yield
    except KafkaException as failure:
        raise as_ours(failure.args[0]) from failure


def as_ours(
    error: KafkaError,
) -> NotFound | Conflict | InvalidRequest | Unauthorized | Unavailable:
    """The console's error for it; Kafka's own words stay where it refused something."""
    code, words = error.code(), {"error": error.str()}
    if code in MISSING:
        return NotFound(_("Kafka has no such topic."), service="kafka")
    if code == KafkaError.GROUP_ID_NOT_FOUND:
        return NotFound(_("Kafka has no such consumer group."), service="kafka")
    if code in DENIED:
        return Unauthorized(_("Kafka refused the console: %(error)s") % words, service="kafka")
    if code in BUSY:
        return Conflict(busy_in_words(), service="kafka")
    if code in NOT_NOW:
        return Conflict(_("Kafka refused: %(error)s") % words, service="kafka")
    if code in REFUSED:
        message = _("Kafka refused: %(error)s") % words
        errors = [{"field": REFUSED[code], "message": message}]
        return InvalidRequest(message, service="kafka", errors=errors)
    if code in AWAY:
        return Unavailable(_("Kafka is not answering. Try again soon."), service="kafka")
    return Unavailable(_("Kafka answered with an error: %(error)s") % words, service="kafka")


def busy_in_words() -> str:
    """Why nobody but its members changes a group."""
    return _(
        "The group has members that read now, and Kafka changes only an empty group. Stop its consumers, "
        "wait until the group's state is “empty”, and try again."
    )
