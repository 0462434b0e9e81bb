"""The loop around `ingestion.handle`: fetch a batch, record it, copy what does not fit, commit."""

import threading
import time
from collections.abc import Sequence

import structlog
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaException, Message
from django.db import connection

from core.lib import kafka, live, metrics, traces
from core.lib.aside import in_words
from core.lib.lag import Behind
from predictions import ingestion
from predictions.unfit import Again, DeadLetters, place

log = structlog.get_logger(__name__)

GROUP = "atalaya-recorder"
BATCH = 200  # messages, of up to a hundred records each
WAIT_S = 0.5
GATHER_S = 0.02
PUBLISH_EVERY_S = 0.5
LONGEST_RETRY_S = 15.0
# A recorder that was killed holds its partitions for this long; the broker allows no less.
SESSION_MS = 6_000
ASK_TIMEOUT_S = 2.0


class Recorder:
    """Runs until `stop` is set."""

    def __init__(self, topic: str, stop: threading.Event, *, group: str = GROUP) -> None:
        self._topic = topic
        self._stop = stop
        self._consumer = Consumer(
            kafka.consumer_config(
                group,
                **{
                    "partition.assignment.strategy": "cooperative-sticky",
                    "fetch.wait.max.ms": 100,
                    "session.timeout.ms": SESSION_MS,
                    "heartbeat.interval.ms": SESSION_MS // 3,
                },
                **kafka.quiet(log),
            )
        )
        self._letters = DeadLetters(topic)
        self._again = Again(topic)
        self._news = _News()
        self._oldest_at: float | None = None  # of the batch in hand
        self._asking = threading.Lock()  # held while somebody asks, and when the consumer is closed
        self._is_closed = False

    def run(self) -> None:
        """Consume until stopped; what was fetched and not committed comes again next time."""
        self._consumer.subscribe([self._topic])
        try:
            while not self._stop.is_set():
                batch = self._fetch()
                if batch:
                    self._record(batch)
                self._again.try_if_due()
                self._news.tell()
        finally:
            with self._asking:
                self._is_closed = True
                self._consumer.close()

    def behind(self) -> dict[str, Behind]:
        """What is not recorded yet, by partition. Asks Kafka, from another thread. Raises KafkaException."""
        with self._asking:
            if self._is_closed:
                return {}
            places = self._consumer.committed(self._consumer.assignment(), ASK_TIMEOUT_S)
            found = {}
            for place in places:
                low, high = self._consumer.get_watermark_offsets(place, ASK_TIMEOUT_S)
                n_waiting = max(0, high - max(place.offset, low))  # a negative offset: nothing was committed
                found[f"{place.topic}/{place.partition}"] = Behind(
                    n_waiting, self._oldest_at if n_waiting else None
                )
            return found

    def _fetch(self) -> list[Message]:
        """The first message as soon as it is there, and those that follow at once."""
        messages = self._consumer.consume(1, WAIT_S)
        if messages:
            messages += self._consumer.consume(BATCH - 1, GATHER_S)
        sound = []
        for message in messages:
            if message.error() is None:
                sound.append(message)
            else:
                log.warning("recorder.fetch_failed", error=str(message.error()))
        return sound

    def _record(self, batch: Sequence[Message]) -> None:
        """Until it is recorded or set aside: what fails for all is no message's fault, and is waited for."""
        messages: dict[str, bytes] = {}
        for message in batch:
            messages |= ingestion.lines(place(message), message.value() or b"")
        self._oldest_at = _oldest_at(batch)
        began_at_ns = time.time_ns()
        wait_s = 0.5
        while not self._stop.is_set():
            try:
                handled = ingestion.handle(messages)
                break
            except Exception as error:  # noqa: BLE001  (nothing is lost meanwhile, whatever it is)
                log.warning("recorder.waits", error=in_words(error), messages=len(messages))
                connection.close()
                self._stop.wait(wait_s)
                wait_s = min(wait_s * 2, LONGEST_RETRY_S)
        else:
            return
        self._letters.send(handled.dead)
        self._commit()
        self._oldest_at = None
        metrics.RECORDER_ROWS.inc(handled.n_rows)
        metrics.RECORDER_BAD.inc(len(handled.dead))
        self._news.note(handled.n_rows)
        if traces.is_on:
            _trace(batch, began_at_ns)

    def _commit(self) -> None:
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as error:  # the rows are safe; messages that come again find their ids taken
            log.warning("recorder.not_committed", error=str(error))


def _trace(batch: Sequence[Message], began_at_ns: int) -> None:
    """A batch is recorded at once: each call that has records in it sees that in its own trace."""
    for message in batch:
        try:
            headers = message.headers() or []
        except UnicodeDecodeError:  # Kafka takes any bytes as a name, the client only UTF-8
            continue
        for name, parent in headers:
            if name == traces.HEADER and parent:
                parent = parent.decode("latin-1")
                traces.note("record predictions", parent=parent, began_at_ns=began_at_ns, kind="CONSUMER")


def _oldest_at(batch: Sequence[Message]) -> float | None:
    """When the first of them was sent, as Unix time."""
    stamps = [message.timestamp() for message in batch]
    return min((ms / 1000 for kind, ms in stamps if kind != TIMESTAMP_NOT_AVAILABLE), default=None)


class _News:
    """Tells open pages about new rows, twice a second at most."""

    def __init__(self) -> None:
        self._has_news = False
        self._told_at = 0.0

    def note(self, n_rows: int) -> None:
        self._has_news |= n_rows > 0

    def tell(self) -> None:
        if self._has_news and time.monotonic() - self._told_at >= PUBLISH_EVERY_S:
            self._has_news = False
            self._told_at = time.monotonic()
            live.publish("predictions")
