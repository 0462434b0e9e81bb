"""Send numbered messages to Kafka exactly once, whatever dies on the way.

The number of the next message is committed as an offset of a consumer group, in the transaction that
carries the messages: both are there or neither. A second sender with the same name fences the first.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, NamedTuple, Self

import structlog
from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from core.lib import kafka
from core.lib.errors import ConsoleError, Unauthorized
from streaming import kafka_errors
from streaming.models import KafkaMark

log = structlog.get_logger(__name__)

TIMEOUT_S = 15
GRACE_S = 5
MOST_BYTES = 2 * 1024 * 1024
GROUP_PREFIX = "atalaya-number-"  # of groups that hold a number, and read nothing


class Outgoing(NamedTuple):
    """A message to send. partition: None where its key decides, as Java's clients choose it."""

    value: bytes | None
    key: bytes | None = None
    headers: list[tuple[str, bytes | None]] = []
    timestamp_ms: int = 0
    partition: int | None = None


class Sender:
    """Sends to one topic under one name. Every method raises KafkaException; the sender is then spent.

    Making one ends what another of this name had begun, for good. So whoever notes in rows what is sent, and
    only then lets `forget` go, sends nothing twice by this order: make a sender, ask it for the next number,
    read the row. A number 0 means then that nothing is sent, or that the row says it is.
    """

    def __init__(self, name: str, topic: str) -> None:
        self._topic = topic
        name = KafkaMark.of(name)
        self._mark = TopicPartition(topic, 0)
        config: dict[str, Any] = {
            "transactional.id": f"atalaya-{name}",
            "message.max.bytes": MOST_BYTES,
            "linger.ms": 0,
            "partitioner": "murmur2_random",
        }
        self._producer = Producer(kafka.producer_config(**config, **kafka.quiet(log)))
        self._group = Consumer(kafka.consumer_config(GROUP_PREFIX + name, **kafka.quiet(log)))
        try:
            self._producer.init_transactions(TIMEOUT_S)  # fences, and ends what another has begun
        except KafkaException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next_number(self) -> int:
        """The number of the first message that is not in Kafka."""
        offset: int = self._group.committed([self._mark], TIMEOUT_S)[0].offset
        return 0 if offset == OFFSET_INVALID else offset

    def has_partition(self, number: int) -> bool:
        """Whether the topic has a partition of this number now."""
        return (
            number in self._group.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic].partitions
        )

    def send(self, messages: Sequence[Outgoing], *, next_number: int) -> list[tuple[int, int]]:
        """Send all, and let `next_number` follow them. Returns partition and offset of each."""
        places: list[tuple[int, int]] = [(-1, -1)] * len(messages)
        faults: list[KafkaError] = []

        def note(index: int) -> Any:
            def on_delivery(error: KafkaError | None, message: Message) -> None:
                if error is None:
                    places[index] = (message.partition(), message.offset())
                else:
                    faults.append(error)

            return on_delivery

        try:
            self._transact(messages, note, next_number)
        except KafkaException as error:
            self._producer.flush(GRACE_S)  # reports of messages may still be on their way
            if not faults:
                raise
            raise KafkaException(faults[0]) from error  # of which the other one follows
        return places

    def _transact(self, messages: Sequence[Outgoing], note: Any, next_number: int) -> None:
        self._producer.begin_transaction()
        for index, message in enumerate(messages):
            self._produce(message, note(index))
        mark = TopicPartition(self._topic, 0, next_number)
        group = self._group.consumer_group_metadata()
        _in_time(lambda: self._producer.send_offsets_to_transaction([mark], group, TIMEOUT_S))
        self._producer.commit_transaction(TIMEOUT_S)

    def _produce(self, message: Outgoing, on_delivery: Any) -> None:
        for _ in range(2):
            try:
                self._producer.produce(
                    self._topic,
                    message.value,
                    message.key,
                    **({} if message.partition is None else {"partition": message.partition}),
                    headers=message.headers,
                    on_delivery=on_delivery,
                    timestamp=message.timestamp_ms,
                )
            except BufferError:  # the queue is full: let what is in it go first
                self._producer.flush(TIMEOUT_S)
            else:
                self._producer.poll(0)
                return
        raise KafkaException(KafkaError(KafkaError._QUEUE_FULL, "the queue of the producer stays full"))

    def close(self) -> None:
        """Leave; a transaction that was begun and not committed is ended by the broker."""
        self._group.close()


# A message that a topic takes at no time: it is too large, or the broker checks what it holds.
NEVER_TAKEN = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG})


def is_never_taken(error: KafkaException) -> bool:
    """Whether sending the same message again is in vain."""
    return bool(error.args) and isinstance(error.args[0], KafkaError) and error.args[0].code() in NEVER_TAKEN


DENIED = frozenset({*kafka_errors.DENIED, KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED})


def is_denied(error: KafkaException | ConsoleError) -> bool:
    """Whether the console may not send there: no try helps before somebody gives it the right."""
    if isinstance(error, ConsoleError):
        return isinstance(error, Unauthorized)
    return bool(error.args) and isinstance(error.args[0], KafkaError) and error.args[0].code() in DENIED


def in_words(error: KafkaException | ConsoleError) -> str:
    """What Kafka, or the console for it, says."""
    if isinstance(error, ConsoleError):
        return error.message
    return error.args[0].str() if error.args and isinstance(error.args[0], KafkaError) else str(error)


def _in_time(call: Callable[[], object]) -> None:
    """Raises KafkaException when the call has not returned a little after its own time limit.

    librdkafka does not keep to that limit while the group's coordinator is away (its issue 5456): the call
    may never return. Its thread stays behind; it commits nothing, and the next sender fences its producer.
    """
    outcome: Future[object] = Future()

    def run() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001  whatever it is, it is the caller's
            outcome.set_exception(error)

    threading.Thread(target=run, name="exactly-once", daemon=True).start()
    try:
        outcome.result(TIMEOUT_S + GRACE_S)
    except FutureTimeout as error:
        raise KafkaException(
            KafkaError(KafkaError._TIMED_OUT, "the offsets were not taken in time")
        ) from error


def forget(name: str) -> None:
    """Remove the group that held the number; harmless when there is none."""
    admin = kafka.admin(**kafka.quiet(log))  # kept until the end: calls under way die with it
    group = GROUP_PREFIX + KafkaMark.of(name)
    try:
        admin.delete_consumer_groups([group], request_timeout=TIMEOUT_S)[group].result(TIMEOUT_S)
    except KafkaException as error:
        log.info("exactly_once.group_stays", group=group, error=str(error))
