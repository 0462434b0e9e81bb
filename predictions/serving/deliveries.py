"""Records handed to Kafka, and each call's answer to whether all of its records arrived.

Event loops send, one thread hears: `poll` waits in librdkafka, without the GIL, and the loops that wait are
woken once for all that a round has settled. How records are gathered on their way is this module's alone.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from core.lib import kafka

log = structlog.get_logger(__name__)

DELIVERY_TIMEOUT_S = 5
# Only should librdkafka itself not report: no call waits for longer.
LONGEST_WAIT_S = DELIVERY_TIMEOUT_S + 2.0
POLL_S = 0.5
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
    """The records of one call: settled when the broker has answered for each, or the time is over."""

    __slots__ = ("_deadline", "future", "has_failed", "loop", "n_left")

    def __init__(self, n_left: int, loop: asyncio.AbstractEventLoop) -> None:
        self.n_left = n_left
        self.has_failed = False
        self.loop = loop
        self.future: asyncio.Future[bool] = loop.create_future()
        self._deadline = loop.call_later(LONGEST_WAIT_S, self._give_up)

    def settle(self) -> None:
        """In the loop that waits."""
        self._deadline.cancel()
        if not self.future.done():
            self.future.set_result(not self.has_failed)

    def _give_up(self) -> None:
        if not self.future.done():
            log.error("predictions.delivery_not_reported", n_records=self.n_left)
            self.future.set_result(False)


class Deliveries:
    """One producer and the thread that hears what became of its messages."""

    def __init__(self, topic: str, make: Callable[[], Producer] = make_producer) -> None:
        self._topic = topic
        self._make = make
        self._producer: Any = None
        self._broken: list[Any] = []
        self._settled: list[_Delivery] = []
        self._lock = threading.Lock()  # counts go down in the loop that sends and in the thread that hears
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make the producer; nothing has to be up yet."""
        self._producer = self._make()
        self._ending.clear()
        self._thread = threading.Thread(target=self._hear, name="deliveries", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way."""
        if self._thread is not None:
            self._ending.set()
            self._thread.join(POLL_S + 1)
            self._producer.flush(timeout_s)
            self._wake()
            self._thread = None

    def send(self, records: Sequence[bytes]) -> asyncio.Future[bool]:
        """Whether all arrived, at the latest after `LONGEST_WAIT_S`: a future of the running loop."""
        delivery = _Delivery(len(records), asyncio.get_running_loop())
        if not records:
            delivery.settle()
        producer = self._producer

        def report(error: KafkaError | None, _message: Any) -> None:
            self._count(delivery, 1, has_failed=error is not None)

        for n_sent, record in enumerate(records):
            try:
                producer.produce(self._topic, record, on_delivery=report)
            except (BufferError, KafkaException) as error:
                self._refused(delivery, len(records) - n_sent, producer, error)
                break
        return delivery.future

    def _count(self, delivery: _Delivery, n_records: int, *, has_failed: bool) -> None:
        """So many records more have their answer."""
        with self._lock:
            delivery.n_left -= n_records
            delivery.has_failed |= has_failed
            if not delivery.n_left:
                self._settled.append(delivery)

    def _refused(self, delivery: _Delivery, n_unsent: int, producer: Any, error: Exception) -> None:
        """librdkafka took no more: those that it took still report."""
        log.error("predictions.record_refused", error=str(error))
        self._count(delivery, n_unsent, has_failed=True)
        if isinstance(error, KafkaException) and error.args[0].fatal():
            self._replace(producer)
        self._wake()

    def _replace(self, producer: Any) -> None:
        """After a fatal error a producer takes nothing any more; what it holds is given up by the thread."""
        with self._lock:
            if producer is self._producer:
                self._broken.append(producer)
                self._producer = self._make()

    def _hear(self) -> None:
        while not self._ending.is_set():
            try:
                self._producer.poll(POLL_S)
                self._give_up_broken()
                self._wake()
            except Exception:
                log.exception("predictions.deliveries_broken")  # waits end by their deadlines meanwhile
                self._ending.wait(POLL_S)

    def _give_up_broken(self) -> None:
        while self._broken:
            broken = self._broken.pop()
            broken.purge()
            broken.flush(POLL_S)  # every message purged is reported as failed

    def _wake(self) -> None:
        """Settle in their own loops the calls that are complete, with one wake-up for each loop."""
        with self._lock:
            settled, self._settled = self._settled, []
        by_loop: dict[asyncio.AbstractEventLoop, list[_Delivery]] = {}
        for delivery in settled:
            by_loop.setdefault(delivery.loop, []).append(delivery)
        for loop, deliveries in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle_all, deliveries)
            except RuntimeError:  # the loop is closed: nobody waits any more
                log.info("predictions.delivery_unheard", n_calls=len(deliveries))


def _settle_all(deliveries: Sequence[_Delivery]) -> None:
    for delivery in deliveries:
        delivery.settle()
