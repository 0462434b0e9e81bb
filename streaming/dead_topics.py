"""Dead letters, from rows to `<topic>.dead`: each once, with reason, place and bytes."""

import time
from collections.abc import Sequence

import structlog
from confluent_kafka import KafkaException
from django.utils.translation import gettext as _

from core.lib import topics
from core.lib.errors import ConsoleError, InvalidRequest
from streaming import exactly_once, ledger, loops
from streaming.exactly_once import Outgoing, Sender
from streaming.models import DeadLetter, Stream, dead_topic_name

log = structlog.get_logger(__name__)

BATCH = 50
DAYS = 30
MAX_BYTES = 2 * 1024 * 1024  # more than is kept of a message: the headers come on top
LONGEST_WAIT_S = 60.0


def topic(name: str) -> topics.Topic:
    """How a dead topic is created."""
    return topics.Topic(name, days=DAYS, max_bytes=MAX_BYTES)


def ensure(stream: Stream) -> None:
    """Create the stream's dead topic if Kafka has none. Raises InvalidRequest and Unavailable.

    Kafka tells `a.dead` and `a_dead` not apart: where the one cannot be made `a-dead` is used from then on.
    """
    try:
        topics.ensure([topic(stream.dead_topic)])
    except InvalidRequest:
        other = dead_topic_name(stream.topic, "-")
        if stream.dead_topic == other:
            raise
        topics.ensure([topic(other)])
        stream.other_dead_topic = other
        Stream.objects.filter(pk=stream.pk).update(other_dead_topic=other)
        log.info("stream.dead_topic_renamed", stream=stream.name, topic=other)


class DeadSender:
    """Sends the dead letters of one stream, in the order of their ids.

    What cannot be sent now waits in its rows: counting goes on meanwhile.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sender: Sender | None = None
        self._n_failures = 0
        self._again_at = 0.0

    def send(self) -> int:
        """Send what is not there yet, and note where it is; returns how many. After a failure it pauses."""
        if not self._stream.has_dead_topic or time.monotonic() < self._again_at:
            return 0
        try:
            n_sent = self._send()
        except (KafkaException, ConsoleError) as error:
            self.close()
            self._n_failures += 1
            wait_s = min(2.0**self._n_failures, LONGEST_WAIT_S)
            self._again_at = time.monotonic() + wait_s
            log.warning("stream.dead_letters_wait", stream=self._stream.name, error=str(error), wait_s=wait_s)
            return 0
        self._n_failures = 0
        return n_sent

    def _send(self) -> int:
        n_sent, at_once = 0, BATCH
        waiting = self._stream.dead_letters.filter(is_sent=False, send_error="").order_by("pk")
        while rows := list(waiting[:at_once]):
            if self._sender is None:
                ensure(self._stream)
                self._sender = Sender(f"dead-{self._stream.pk}", self._stream.dead_topic)
                self._note_sent(self._sender.next_number())
                continue
            try:
                self._send_rows(self._sender, rows)
            except KafkaException as error:
                if not exactly_once.is_never_taken(error):
                    raise
                self.close()
                if len(rows) == 1:
                    _refuse(self._stream, rows[0], error)
                at_once = 1  # find the one that is at fault; the others go
            else:
                n_sent += len(rows)
        return n_sent

    def _send_rows(self, sender: Sender, rows: Sequence[DeadLetter]) -> None:
        places = sender.send([_outgoing(self._stream, row) for row in rows], next_number=rows[-1].pk + 1)
        _note_places(rows, places)

    def _note_sent(self, next_number: int) -> None:
        """Rows that a process sent and could not mark: the bytes stay in the row, their place is unknown."""
        waiting = self._stream.dead_letters.filter(is_sent=False, send_error="")
        waiting.filter(pk__lt=next_number).update(is_sent=True)

    def close(self) -> None:
        """Leave Kafka."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None


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
