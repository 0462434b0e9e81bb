"""Dead letters, from rows to `<topic>.dead`: each once, with reason, place and bytes."""

import threading
from collections.abc import Sequence

import structlog
from confluent_kafka import KafkaException
from django.utils.translation import gettext as _

from core.lib import topic_days, topics
from core.lib.errors import InvalidRequest
from streaming import ledger, loops
from streaming.exactly_once import Outgoing
from streaming.models import DeadLetter, Stream, dead_topic_name
from streaming.row_sender import RowSender

log = structlog.get_logger(__name__)

MAX_BYTES = 2 * 1024 * 1024  # more than is kept of a message: the headers come on top


def topic(name: str) -> topics.Topic:
    """How a dead topic is created."""
    return topics.Topic(name, kept=topics.SIDE, max_bytes=MAX_BYTES)


def ensure(stream: Stream) -> None:
    """Create the stream's dead topic if Kafka has none. Raises InvalidRequest and Unavailable.

    Kafka tells `a.dead` and `a_dead` not apart: where the one cannot be made `a-dead` is used from then on.
    """
    try:
        topic_days.ensure([topic(stream.dead_topic)])
    except InvalidRequest:
        other = dead_topic_name(stream.topic, "-")
        if stream.dead_topic == other:
            raise
        topic_days.ensure([topic(other)])
        stream.other_dead_topic = other
        Stream.objects.filter(pk=stream.pk).update(other_dead_topic=other)
        log.info("stream.dead_topic_renamed", stream=stream.name, topic=other)


class DeadSender(RowSender[DeadLetter]):
    """Sends the dead letters of one stream."""

    def __init__(self, stream: Stream, stopped: threading.Event) -> None:
        super().__init__(
            f"dead-{stream.pk}",
            stream.dead_letters,
            stopped,
            loop=loops.DEAD_LETTERS,
            key=stream.name,
            about=stream.name,
            is_on=stream.has_dead_topic,
        )
        self._stream = stream

    def topic(self) -> str:
        ensure(self._stream)
        return self._stream.dead_topic

    def outgoing(self, row: DeadLetter) -> Outgoing:
        return _outgoing(self._stream, row)

    def note(self, rows: Sequence[DeadLetter], places: Sequence[tuple[int, int]]) -> None:
        _note_places(rows, places)

    def refuse(self, row: DeadLetter, error: KafkaException) -> None:
        _refuse(self._stream, row, error)


def _refuse(stream: Stream, row: DeadLetter, error: KafkaException) -> None:
    words = {"topic": stream.dead_topic, "place": str(row), "error": error.args[0].str()}
    message = _("The topic %(topic)s does not take the dead letter of %(place)s: %(error)s") % words
    row.send_error = message[:300]
    row.save(update_fields=["send_error"])
    loops.DEAD_LETTERS.set_aside(f"{stream.name} {row.partition}:{row.offset}", message, about=stream.name)


def _outgoing(stream: Stream, row: DeadLetter) -> Outgoing:
    headers = ledger.headers_of(row)
    about = {
        "reason": row.reason,
        "stream": stream.name,
        "topic": row.topic,
        "partition": row.partition,
        "offset": row.offset,
    }
    if row.is_cut:
        about["cut_from_bytes"] = row.size_bytes
    if headers.n_left_out:
        about["headers_left_out"] = headers.n_left_out
    return Outgoing(
        value=None if row.is_null else bytes(row.payload or b""),
        key=None if row.key is None else bytes(row.key),
        headers=[*headers.kept, *ledger.ours(about)],
    )


def _note_places(rows: Sequence[DeadLetter], places: Sequence[tuple[int, int]]) -> None:
    for row, (partition, offset) in zip(rows, places, strict=True):
        row.is_sent = True
        row.dead_partition, row.dead_offset = (partition, offset) if offset >= 0 else (None, None)
        if offset >= 0 and not row.is_null:  # a null value is sent again without a look into the dead topic
            row.payload = row.headers = None
    DeadLetter.objects.bulk_update(rows, ["is_sent", "dead_partition", "dead_offset", "payload", "headers"])
