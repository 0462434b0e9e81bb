"""Records on their way into Kafka: an answer waits here until the broker has acknowledged its rows."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from django.utils.translation import gettext as _

from core.lib import kafka
from predictions.errors import Busy, NotRecorded
from predictions.serving import metrics
from predictions.serving.unanswered import Unanswered

log = structlog.get_logger(__name__)

DELIVERY_TIMEOUT_S = 5
POLL_S = 0.001
# A lone call waits a millisecond longer; under load a request to the broker carries several records, and this
# process and the broker together spend about half as much of a shared machine on each.
LINGER_MS = 1


def make_producer() -> Producer:
    """Sends almost at once, gives up after five seconds, never reorders or repeats."""
    return Producer(
        kafka.producer_config(
            **{
                "linger.ms": LINGER_MS,
                "delivery.timeout.ms": DELIVERY_TIMEOUT_S * 1000,
                "request.timeout.ms": DELIVERY_TIMEOUT_S * 1000 - 500,
                "reconnect.backoff.max.ms": 1000,
                **kafka.quiet(log),
            }
        )
    )


class _Delivery:
    """The records of one call: done when the broker has answered for each of them."""

    __slots__ = ("_loop", "future", "has_failed", "n_left")

    def __init__(self, n_left: int, loop: asyncio.AbstractEventLoop) -> None:
        self.n_left = n_left
        self.has_failed = False
        self.future: asyncio.Future[bool] = loop.create_future()
        self._loop = loop

    def report(self, error: KafkaError | None, _message: Any) -> None:
        """librdkafka calls this from within `poll`, in whichever event loop polls."""
        self.count(1, has_failed=error is not None)

    def count(self, n_records: int, *, has_failed: bool) -> None:
        """So many records more are settled."""
        self.n_left -= n_records
        self.has_failed |= has_failed
        if self.n_left:
            return
        if asyncio._get_running_loop() is self._loop:
            self._settle()
        else:
            self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if not self.future.done():
            self.future.set_result(not self.has_failed)


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
        self.in_flight = 0
        self._polling: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Make the producer; nothing has to be up yet."""
        self._producer = self._make_producer()

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
        delivery = _Delivery(len(records), loop)
        produce, topic, report = self._producer.produce, self._topic, delivery.report
        for n_sent, record in enumerate(records):
            try:
                produce(topic, record, on_delivery=report)
            except (BufferError, KafkaException) as error:
                self._refused(delivery, len(records) - n_sent, error)
                break
        if self._polling is not loop:
            self._polling = loop
            loop.call_later(POLL_S, self._poll, loop)
        return delivery.future

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear acknowledgements on the loop that waits for them: a thread would fight it for the GIL."""
        self._producer.poll(0)
        if self.in_flight and self._polling is loop:
            loop.call_later(POLL_S, self._poll, loop)
        else:
            self._polling = None

    def _refused(self, delivery: _Delivery, n_unsent: int, error: Exception) -> None:
        """librdkafka took no more: those that it took still report."""
        log.error("predictions.record_refused", error=str(error))
        delivery.count(n_unsent, has_failed=True)
        if isinstance(error, KafkaException) and error.args[0].fatal():
            self._producer = self._make_producer()

    def close(self, timeout_s: float = DELIVERY_TIMEOUT_S) -> None:
        """Wait for what is under way."""
        if self._producer is not None:
            self._producer.flush(timeout_s)
