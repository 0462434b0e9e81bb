"""Dead letters, from rows to `<topic>.dead`: each once, with reason, place and original bytes."""

from collections.abc import Sequence

from core.lib import topics
from streaming.exactly_once import Outgoing, Sender
from streaming.models import DeadLetter, Stream

BATCH = 50
DAYS = 30
MAX_BYTES = 2 * 1024 * 1024  # more than a topic takes: the headers come on top


def topic(name: str) -> topics.Topic:
    """How a dead topic is created."""
    return topics.Topic(name, days=DAYS, max_bytes=MAX_BYTES)


class DeadSender:
    """Sends the dead letters of one stream, in the order of their ids."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._sender: Sender | None = None

    def send(self) -> int:
        """Send what is not there yet, and note where it is; returns how many. Raises KafkaException."""
        n_sent = 0
        while rows := list(self._stream.dead_letters.filter(is_sent=False).order_by("pk")[:BATCH]):
            if self._sender is None:
                self._sender = Sender(f"dead-{self._stream.pk}", self._stream.dead_topic)
                self._note_sent(self._sender.next_number())
                continue
            places = self._sender.send(
                [_outgoing(self._stream, row) for row in rows], next_number=rows[-1].pk + 1
            )
            _note_places(rows, places)
            n_sent += len(rows)
        return n_sent

    def _note_sent(self, next_number: int) -> None:
        """Rows that a process sent and could not mark: the bytes stay in the row, their place is unknown."""
        self._stream.dead_letters.filter(is_sent=False, pk__lt=next_number).update(is_sent=True)

    def close(self) -> None:
        """Leave Kafka."""
        if self._sender is not None:
            self._sender.close()


def _outgoing(stream: Stream, row: DeadLetter) -> Outgoing:
    headers = {
        "reason": row.reason,
        "stream": stream.name,
        "topic": row.topic,
        "partition": str(row.partition),
        "offset": str(row.offset),
    }
    return Outgoing(
        value=None if row.is_null else bytes(row.payload or b""),
        key=None if row.key is None else bytes(row.key),
        headers=[(name, text.encode()) for name, text in headers.items()],
    )


def _note_places(rows: Sequence[DeadLetter], places: Sequence[tuple[int, int]]) -> None:
    for row, (partition, offset) in zip(rows, places, strict=True):
        row.is_sent = True
        row.dead_partition, row.dead_offset = (partition, offset) if offset >= 0 else (None, None)
        if offset >= 0:
            row.payload = None
    DeadLetter.objects.bulk_update(rows, ["is_sent", "dead_partition", "dead_offset", "payload"])
