"""Where partitions begin and end: one request for all of them."""

from typing import Any

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streaming.kafka_errors import AWAY, MISSING

Place = tuple[str, int]  # topic and partition

LEADERLESS = (KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION)


def told(
    admin: AdminClient,
    places: list[TopicPartition],
    spec: Any,
    timeout_s: float,
    *,
    is_committed: bool = False,
) -> tuple[dict[Place, int], dict[Place, KafkaException]]:
    """Offsets, and failures. is_committed: partitions end before the first message of an open transaction."""
    isolation = {"isolation_level": IsolationLevel.READ_COMMITTED} if is_committed else {}
    asked = dict.fromkeys(places, spec)
    futures = admin.list_offsets(asked, request_timeout=timeout_s, **isolation) if places else {}
    offsets, failures = {}, {}
    for place, future in futures.items():
        try:
            offsets[place.topic, place.partition] = future.result().offset
        except KafkaException as error:
            failures[place.topic, place.partition] = error
    return offsets, failures


def offsets(
    admin: AdminClient,
    places: list[TopicPartition],
    spec: Any,
    timeout_s: float,
    *,
    is_committed: bool = False,
    is_partial: bool = False,
) -> dict[Place, int]:
    """Without partitions that nobody leads or that are gone. Raises KafkaException for what else fails.

    is_partial: without those whose leader does not answer, too, as long as any other does.
    """
    found, failures = told(admin, places, spec, timeout_s, is_committed=is_committed)
    passed_over = {*MISSING, *LEADERLESS, *(AWAY if is_partial and found else ())}
    for failure in failures.values():
        if failure.args[0].code() not in passed_over:
            raise failure
    return found
