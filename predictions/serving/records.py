"""Records on their way into Kafka: an answer waits here until the broker has acknowledged its rows."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from django.utils.translation import gettext as _

from console.lib import kafka
from predictions.errors import Busy, NotRecorded
from predictions.serving import metrics
from predictions.serving.unanswered import Unanswered

log = structlog.get_logger(__name__)

DELIVERY_TIMEOUT_S = 5
POLL_S = 0.1


def make_producer() -> Producer:
    """Sends at once, gives up after five seconds, never reorders or repeats."""
    return Producer(
        kafka.producer_config(
            **{
                "linger.ms": 0,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_S * 1000,
                "request.timeout.ms": DELIVERY_TIMEOUT_S * 1000 - 500,
                "reconnect.backoff.max.ms": 1000,
                **kafka.quiet(log),
            }
        )
    )


class _Delivery:
    """The records of one call: done when the broker has answered for each of them."""

    __slots__ = ("_inbox", "_lock", "future", "has_failed", "n_left")

    def __init__(self, n_left: int, future: asyncio.Future[bool], inbox: "_Inbox") -> None:
        self.n_left = n_left
        self.future = future
        self.has_failed = False
        self._inbox = inbox
        self._lock = threading.Lock()

    def report(self, error: KafkaError | None, _message: Any) -> None:
        """librdkafka calls this in the polling thread."""
        self.count(1, has_failed=error is not None)

    def count(self, n_records: int, *, has_failed: bool) -> None:
        """So many records more are settled."""
        with self._lock:
            self.n_left -= n_records
            self.has_failed |= has_failed
            is_done = self.n_left == 0
        if is_done:
            self._inbox.put(self)


class _Inbox:
    """Carries finished deliveries into one event loop: one wake-up for many."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._done: deque[_Delivery] = deque()
        self._is_called = False

    def put(self, delivery: _Delivery) -> None:
        self._done.append(delivery)
        if not self._is_called:
            self._is_called = True
            self.loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._is_called = False
        done = self._done
        while done:
            delivery = done.popleft()
            if not delivery.future.done():
                delivery.future.set_result(not delivery.has_failed)


class RecordWriter:
    """Sends records and waits for their acknowledgement; a bounded number at once."""

    def __init__(
        self,
        topic: str,
        unanswered: Unanswered,
        *,
        max_in_flight: int,
        producer: Callable[[], Producer] = make_producer,
    ) -> None:
        self._topic = topic
        self._unanswered = unanswered
        self._max_in_flight = max_in_flight
        self._make_producer = producer
        self._producer: Any = None
        self._inbox: _Inbox | None = None
        self.in_flight = 0
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make the producer and the thread that hears its acknowledgements; nothing has to be up yet."""
        self._is_stopping = False
        self._producer = self._make_producer()
        self._thread = threading.Thread(target=self._poll, name="predictions-delivery", daemon=True)
        self._thread.start()

    async def write(self, records: Sequence[bytes], ids: Sequence[str]) -> None:
        """Return once all records are safe. Raises Busy before anything is sent, NotRecorded after."""
        n_records = len(records)
        if self.in_flight + n_records > self._max_in_flight:
            raise Busy(
                _("Too many predictions are being recorded right now. Try again in a second."),
                retry_after_s=1,
            )
        self.in_flight += n_records
        started = time.perf_counter()
        try:
            is_safe = await self._send(records)
        finally:
            self.in_flight -= n_records
        if not is_safe:
            self._unanswered.add(ids)
            raise NotRecorded(
                _(
                    "The record of this prediction was not confirmed, so it is not given. Try again soon. "
                    "The ids named here may appear later, marked unanswered."
                ),
                ids=list(ids),
            )
        metrics.recorded(n_records, time.perf_counter() - started)

    def _send(self, records: Sequence[bytes]) -> asyncio.Future[bool]:
        loop = asyncio.get_running_loop()
        inbox = self._inbox
        if inbox is None or inbox.loop is not loop:
            inbox = self._inbox = _Inbox(loop)
        delivery = _Delivery(len(records), loop.create_future(), inbox)
        produce, topic, report = self._producer.produce, self._topic, delivery.report
        for n_sent, record in enumerate(records):
            try:
                produce(topic, record, on_delivery=report)
            except (BufferError, KafkaException) as error:
                self._refused(delivery, len(records) - n_sent, error)
                break
        return delivery.future

    def _refused(self, delivery: _Delivery, n_unsent: int, error: Exception) -> None:
        """librdkafka took no more: those that it took still report."""
        log.error("predictions.record_refused", error=str(error))
        delivery.count(n_unsent, has_failed=True)
        if isinstance(error, KafkaException) and error.args[0].fatal():
            self._producer = self._make_producer()

    def _poll(self) -> None:
        while not self._is_stopping:
            self._producer.poll(POLL_S)

    def close(self, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        """Wait for what is under way, then stop."""
        self._is_stopping = True
        if self._thread is not None:
            self._producer.flush(timeout_s)
            self._thread.join(timeout_s)
