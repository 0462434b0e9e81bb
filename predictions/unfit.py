"""Messages that are no record: a copy beside their topic, and another try while Kafka has them."""

import time
from collections.abc import Sequence

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from core.lib import kafka
from core.lib.aside import in_words
from predictions import ingestion
from predictions.loops import RECORDS

log = structlog.get_logger(__name__)

# The headers come on top, and our producer takes a megabyte: the original lies at its place for a while.
MOST_BYTES = 512 * 1024
SEND_TIMEOUT_S = 10
LOOK_EVERY_S = 10.0
READ_TIMEOUT_S = 5.0
AT_ONCE = 20
GONE = (
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
    KafkaError._UNKNOWN_PARTITION,
)
READER = "atalaya-recorder-again"  # never joined, never committed


def place(message: Message) -> str:
    """Where a message lies: topic/partition/offset."""
    return f"{message.topic()}/{message.partition()}/{message.offset()}"


class DeadLetters:
    """Copies to `<topic>.dead`, with reason and place."""

    def __init__(self, topic: str) -> None:
        self._topic = f"{topic}.dead"
        self._producer = Producer(kafka.producer_config(**kafka.quiet(log)))

    def send(self, dead: Sequence[ingestion.Dead]) -> None:
        """As far as it goes: the message is set aside already, so a letter that fails holds nobody up."""
        for letter in dead:
            headers = {"reason": letter.reason, "place": letter.place, "bytes": str(len(letter.message))}
            try:
                self._producer.produce(
                    self._topic, letter.message[:MOST_BYTES], headers=headers, on_delivery=_note
                )
            except (BufferError, KafkaException) as error:
                log.error("recorder.letter_refused", place=letter.place, error=str(error))
        if dead and (n_left := self._producer.flush(SEND_TIMEOUT_S)):
            log.warning("recorder.letters_wait", letters=n_left)


def _note(error: KafkaError | None, _message: Message) -> None:
    if error is not None:
        log.error("recorder.letter_not_sent", error=str(error))


class Again:
    """Tries what was set aside again: a secret may have been missing, or a column too narrow."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._looked_at = time.monotonic()

    def try_if_due(self) -> None:
        """A few at a time; trouble here is the next look's."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        try:
            for found in RECORDS.due(AT_ONCE):
                self._try(found)
        except Exception as error:  # noqa: BLE001  (the rows stay, and are due again)
            log.warning("recorder.not_tried_again", error=in_words(error))

    def _try(self, found: str) -> None:
        topic, partition, offset, *_line = found.split("/")
        message = read_at(TopicPartition(topic, int(partition), int(offset)))
        lines = {} if message is None else ingestion.lines(place(message), message.value() or b"")
        if found in lines:
            ingestion.handle({found: lines[found]})
        else:
            RECORDS.fits(found)  # Kafka has it no more: nobody can try it


def _bounds(consumer: Consumer, wanted: TopicPartition) -> tuple[int, int]:
    """The first offset and the one after the last; nothing of a topic that is gone."""
    try:
        low, high = consumer.get_watermark_offsets(wanted, timeout=READ_TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() in GONE:
            return 0, 0
        raise
    return low, high


def read_at(wanted: TopicPartition) -> Message | None:
    """One message; None when it is gone. Raises KafkaException when Kafka does not answer."""
    consumer = Consumer(kafka.consumer_config(READER, **kafka.quiet(log)))
    try:
        low, high = _bounds(consumer, wanted)
        if not low <= wanted.offset < high:
            return None
        consumer.assign([wanted])
        message = consumer.poll(READ_TIMEOUT_S)
    finally:
        consumer.close()
    if message is None or message.error() is not None:
        raise KafkaException(message.error() if message is not None else KafkaError(KafkaError._TIMED_OUT))
    return message if message.offset() == wanted.offset else None
