"""Messages of people to a topic: each is confirmed by all replicas or told to be at fault, alone."""

from typing import Any, Final, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from django.utils.translation import gettext as _

from core.lib import kafka
from streaming.exactly_once import MOST_BYTES, NEVER_TAKEN, Outgoing

log = structlog.get_logger(__name__)

SENDS_FOR_S: Final = 10.0
CONFIG: Final[dict[str, Any]] = {
    "message.max.bytes": MOST_BYTES,
    "message.timeout.ms": int((SENDS_FOR_S - 1) * 1000),  # so that nothing is sent once nobody waits
    # A broker takes or refuses whole batches: alone in one, a message is refused for itself only.
    "batch.num.messages": 1,
    "linger.ms": 0,
    # As Java's clients choose it: a key lies where they look for it.
    "partitioner": "murmur2_random",
}


class Wish(NamedTuple):
    """A message, and the partition that it is for; None where its key decides."""

    message: Outgoing
    partition: int | None = None


class Outcome(NamedTuple):
    """Where the message lies, or why it does not. is_unknown: it may be there, or arrive yet."""

    partition: int | None = None
    offset: int | None = None
    error: str = ""
    is_unknown: bool = False


def send(topic: str, wishes: list[Wish]) -> list[Outcome]:
    """Send them in their order; what became of each. Ends within seconds."""
    outcomes = [_unknown() for _wish in wishes]

    def note(index: int) -> Any:
        def on_delivery(error: KafkaError | None, message: Message) -> None:
            outcomes[index] = (
                Outcome(message.partition(), message.offset()) if error is None else _refused(error)
            )

        return on_delivery

    producer = Producer(kafka.producer_config(**CONFIG, **kafka.quiet(log)))
    for index, wish in enumerate(wishes):
        try:
            _produce(producer, topic, wish, note(index))
        except KafkaException as failure:
            outcomes[index] = _refused(failure.args[0])
    if producer.flush(SENDS_FOR_S):
        producer.purge()
    return outcomes


def _produce(producer: Producer, topic: str, wish: Wish, on_delivery: Any) -> None:
    message = wish.message
    producer.produce(
        topic,
        message.value,
        message.key,
        **({} if wish.partition is None else {"partition": wish.partition}),
        headers=message.headers,
        timestamp=message.timestamp_ms,
        on_delivery=on_delivery,
    )


def _refused(error: KafkaError) -> Outcome:
    code = error.code()
    if code in (KafkaError._MSG_TIMED_OUT, KafkaError._TIMED_OUT, KafkaError._PURGE_INFLIGHT):
        return _unknown()
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return Outcome(error=_("It is larger than the topic takes (max.message.bytes)."))
    if code in NEVER_TAKEN:
        return Outcome(error=_("The topic does not take it: %(error)s") % {"error": error.str()})
    return Outcome(error=_("Kafka refused: %(error)s") % {"error": error.str()})


def _unknown() -> Outcome:
    return Outcome(
        error=_(
            "Kafka has not confirmed it in time: it may be there, or arrive yet. Look before sending again."
        ),
        is_unknown=True,
    )
