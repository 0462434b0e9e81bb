"""Records handed to Kafka, and each call's answer to what became of its records.

Calls of the same turn of an event loop travel together, one record a line of one message, and so do those
that come while as many messages are under way as may be: what a message costs librdkafka, the broker and the
GIL, which a report has to take from the event loop, is then shared. Each call waits for its own records only.

A record that found no room in a message for as long as librdkafka would have tried is never sent: its call
has failed, and later ones do not wait behind it. So memory does not grow while a broker is away.

Event loops send, one thread hears: `poll` waits in librdkafka, without the GIL, and the loops that wait are
woken once for all that a round has settled. How records are gathered on their way is this module's alone.
"""

import asyncio
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import islice
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from django.conf import settings

from core.lib import kafka, traces

log = structlog.get_logger(__name__)

DELIVERY_TIMEOUT_S = 5
# Only should librdkafka itself not report: no call waits for longer.
LONGEST_WAIT_S = DELIVERY_TIMEOUT_S + 2.0
POLL_S = 0.5
# More than two gather fewer records each, and a broker's work goes by messages; with one the broker idles
# while the next is made. A lone call waits for nobody.
MOST_UNDER_WAY = 2
MOST_RECORDS = 100
MOST_BYTES = 200 * 1024  # below what the streams read of a message
MOST_WAITING_RECORDS = 100_000  # as many as librdkafka holds by itself
MOST_WAITING_BYTES = 64 * 1024 * 1024

# What librdkafka takes of a message by default, and what it adds to a record.
MESSAGE_BYTES, AROUND_A_RECORD_BYTES = 1_000_000, 1_000
TRACE_BYTES = 100  # and for each trace that goes with them

Records = list[tuple[bytes, "_Delivery"]]

# What became of a record; those of one call are added up.
_ARRIVED, _UNCONFIRMED, _UNSENT = 1, 2, 4


class Fate(Enum):
    """What became of the records of one call."""

    SAFE = "safe"
    NOT_CONFIRMED = "not confirmed"  # some of them may have arrived, or do so yet
    NEVER_SENT = "never sent"  # none of them ever arrives


def make_producer() -> Producer:
    """Sends at once, gives up after five seconds, never reorders or repeats."""
    return Producer(
        kafka.producer_config(
            **{
                "linger.ms": 0,  # librdkafka's thread would spin through the last millisecond of a wait
                "delivery.timeout.ms": DELIVERY_TIMEOUT_S * 1000,
                "request.timeout.ms": DELIVERY_TIMEOUT_S * 1000 - 500,
                "reconnect.backoff.max.ms": 1000,
                **kafka.quiet(log),
            }
        )
    )


def most_record_bytes() -> int:
    """Of one record: what is longer the producer never takes."""
    limit = int(settings.CONSOLE_KAFKA_CONFIG.get("message.max.bytes", MESSAGE_BYTES))
    return limit - AROUND_A_RECORD_BYTES


class _Turn:
    """The calls of one turn of an event loop, which share their deadlines."""

    __slots__ = ("_deadline", "deliveries", "loop", "n_left", "sent_until")

    def __init__(self, loop: asyncio.AbstractEventLoop, give_up: Callable[["_Turn"], None]) -> None:
        self.loop = loop
        self.deliveries: list[_Delivery] = []
        self.n_left = 0
        self.sent_until = time.monotonic() + DELIVERY_TIMEOUT_S
        self._deadline = loop.call_later(LONGEST_WAIT_S, give_up, self)

    def add(self, n_records: int, traceparent: str) -> "_Delivery":
        delivery = _Delivery(n_records, self, traceparent)
        self.deliveries.append(delivery)
        self.n_left += 1
        return delivery

    def settle(self, delivery: "_Delivery") -> None:
        """In the loop that waits."""
        self.n_left -= 1
        if not self.n_left:
            self._deadline.cancel()
            self.deliveries.clear()  # they know it too: nothing is left to the garbage collector
        if not delivery.future.done():
            delivery.future.set_result(delivery.fate)


class _Delivery:
    """The records of one call: settled when the broker has answered for each, or the time is over."""

    __slots__ = ("found", "future", "n_left", "traceparent", "turn")

    def __init__(self, n_left: int, turn: _Turn, traceparent: str) -> None:
        self.n_left = n_left
        self.traceparent = traceparent
        self.found = 0
        self.turn = turn
        self.future: asyncio.Future[Fate] = turn.loop.create_future()

    @property
    def fate(self) -> Fate:
        if self.found == _ARRIVED:
            return Fate.SAFE
        return Fate.NEVER_SENT if self.found == _UNSENT else Fate.NOT_CONFIRMED


class _Bundle:
    """The records of one message under way."""

    __slots__ = ("records", "sent_at")

    def __init__(self, records: Records) -> None:
        self.records = records
        self.sent_at = time.monotonic()

    @property
    def message(self) -> bytes:
        return b"\n".join([record for record, _delivery in self.records])

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """The trace of each call that has records in it, by which the recorder goes on with it."""
        found = dict.fromkeys(delivery.traceparent for _record, delivery in self.records)
        return [(traces.HEADER, parent.encode()) for parent in found if parent]


class _Waiting:
    """Records that wait for a message, the oldest first. Whoever uses it holds the lock."""

    __slots__ = ("_most_bytes", "_n_bytes", "_records")

    def __init__(self) -> None:
        self._most_bytes = min(MOST_BYTES, most_record_bytes())
        self._records: deque[tuple[bytes, _Delivery]] = deque()
        self._n_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def has_room(self, n_records: int, n_bytes: int) -> bool:
        return (
            len(self._records) + n_records <= MOST_WAITING_RECORDS
            and self._n_bytes + n_bytes <= MOST_WAITING_BYTES
        )

    def add(self, records: Sequence[bytes], n_bytes: int, delivery: _Delivery) -> None:
        self._records.extend([(record, delivery) for record in records])
        self._n_bytes += n_bytes

    def take(self) -> Records:
        """The first records, as many as one message takes: at least one."""
        n = n_bytes = n_trace_bytes = 0
        for record, delivery in islice(self._records, MOST_RECORDS):
            if delivery.traceparent:
                n_trace_bytes += TRACE_BYTES
            if n and n_bytes + n_trace_bytes + len(record) > self._most_bytes:
                break
            n += 1
            n_bytes += len(record)
        self._n_bytes -= n_bytes
        return [self._records.popleft() for _ in range(n)]

    def take_late(self, now: float) -> Records:
        """The first records whose time is over. Turns come in order, but for those of two loops at once."""
        late: Records = []
        while self._records and self._records[0][1].turn.sent_until <= now:
            late.append(self._records.popleft())
        self._n_bytes -= sum(len(record) for record, _delivery in late)
        return late


class Deliveries:
    """One producer and the thread that hears what became of its messages."""

    def __init__(self, topic: str, make: Callable[[], Producer] = make_producer) -> None:
        self._topic = topic
        self._make = make
        self._producer: Any = None
        self._broken: list[Any] = []
        self._turns: dict[asyncio.AbstractEventLoop, _Turn] = {}
        self._waiting = _Waiting()
        self._under_way: set[_Bundle] = set()
        self._settled: list[_Delivery] = []
        self._given_up: Counter[str] = Counter()
        self._given_up_said_at = -kafka.QUIET_S
        # For what is above: loops send, the thread hears and sends what waited.
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Make the producer; nothing has to be up yet."""
        self._producer = self._make()
        self._ending.clear()
        self._thread = threading.Thread(target=self._hear, name="deliveries", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way; what could not be sent in this time has failed."""
        if self._thread is not None:
            self._ending.set()
            self._thread.join(POLL_S + 1)
            self._dispatch()
            self._producer.flush(timeout_s)
            with self._lock:
                self._drop_late(math.inf)
            self._wake()
            self._say_given_up(every_s=0)
            self._thread = None

    def send(self, records: Sequence[bytes]) -> asyncio.Future[Fate]:
        """What became of them, at the latest after `LONGEST_WAIT_S`: a future of the running loop.

        Nothing is sent, and that is told at once, while as many records wait as may.
        """
        loop = asyncio.get_running_loop()
        if not records:
            return _done(loop, Fate.SAFE)
        n_bytes = sum(map(len, records))
        with self._lock:
            if not self._waiting.has_room(len(records), n_bytes):
                self._given_up["n_without_room"] += len(records)
                return _done(loop, Fate.NEVER_SENT)
            delivery = self._turn(loop).add(len(records), traces.traceparent())
            self._waiting.add(records, n_bytes, delivery)
        return delivery.future

    def _turn(self, loop: asyncio.AbstractEventLoop) -> _Turn:
        turn = self._turns.get(loop)
        if turn is None:
            turn = self._turns[loop] = _Turn(loop, self._give_up)
            loop.call_soon(self._end_turn, loop)
        return turn

    def _end_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        del self._turns[loop]
        self._dispatch()

    def _dispatch(self) -> None:
        """Send what waits, while there is room; the report of a message makes room for the next one."""
        while (bundle := self._taken()) is not None:
            producer = self._producer
            try:
                more = {"headers": bundle.headers} if traces.is_on else {}
                producer.produce(self._topic, bundle.message, on_delivery=self._reporter(bundle), **more)
            except (BufferError, KafkaException) as error:
                self._refused(bundle, producer, error)

    def _taken(self) -> _Bundle | None:
        with self._lock:
            self._drop_late(time.monotonic())
            if not self._waiting or len(self._under_way) >= MOST_UNDER_WAY:
                return None
            bundle = _Bundle(self._waiting.take())
            self._under_way.add(bundle)
            return bundle

    def _drop_late(self, now: float) -> None:
        """Whoever waits for records that are never sent hears it with the next round. Under the lock."""
        late = self._waiting.take_late(now)
        if late:
            self._given_up["n_not_sent"] += len(late)
            self._answer(late, _UNSENT)

    def _reporter(self, bundle: _Bundle) -> Callable[[KafkaError | None, Any], None]:
        def report(error: KafkaError | None, _message: Any) -> None:
            self._count(bundle, _ARRIVED if error is None else _UNCONFIRMED)
            self._dispatch()

        return report

    def _count(self, bundle: _Bundle, what: int) -> None:
        """Its records have their answer, unless they had it."""
        with self._lock:
            if bundle not in self._under_way:
                return
            self._under_way.remove(bundle)
            self._answer(bundle.records, what)

    def _answer(self, records: Records, what: int) -> None:
        """Under the lock."""
        for _record, delivery in records:
            delivery.n_left -= 1
            delivery.found |= what
            if not delivery.n_left:
                self._settled.append(delivery)

    def _refused(self, bundle: _Bundle, producer: Any, error: Exception) -> None:
        """librdkafka took no more: what it took before still reports."""
        log.error("predictions.records_refused", n_records=len(bundle.records), error=str(error))
        self._count(bundle, _UNSENT)
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
                self._end_round()
            except Exception:
                log.exception("predictions.deliveries_broken")  # waits end by their deadlines meanwhile
                self._ending.wait(POLL_S)

    def _end_round(self) -> None:
        self._give_up_broken()
        self._give_up_overdue()
        self._dispatch()
        self._wake()
        self._say_given_up(every_s=kafka.QUIET_S)

    def _give_up_broken(self) -> None:
        while self._broken:
            broken = self._broken.pop()
            broken.purge()
            broken.flush(POLL_S)  # every message purged is reported as failed

    def _give_up_overdue(self) -> None:
        """A message that is never reported does not keep the next ones waiting."""
        latest = time.monotonic() - LONGEST_WAIT_S
        with self._lock:
            overdue = [bundle for bundle in self._under_way if bundle.sent_at < latest]
        for bundle in overdue:
            self._count(bundle, _UNCONFIRMED)

    def _give_up(self, turn: _Turn) -> None:
        """In the loop that waits."""
        for delivery in turn.deliveries:
            if not delivery.future.done():
                with self._lock:
                    self._given_up["n_not_reported"] += delivery.n_left
                delivery.future.set_result(Fate.NOT_CONFIRMED)

    def _say_given_up(self, *, every_s: float) -> None:
        """One line for all records since the last one: a broker that is away fails every call."""
        now = time.monotonic()
        with self._lock:
            if not self._given_up.total() or now - self._given_up_said_at < every_s:
                return
            self._given_up_said_at = now
            given_up, self._given_up = self._given_up, Counter()
        log.error("predictions.records_given_up", **given_up)

    def _wake(self) -> None:
        """Settle in their own loops the calls that are complete, with one wake-up for each loop."""
        with self._lock:
            settled, self._settled = self._settled, []
        by_loop: dict[asyncio.AbstractEventLoop, list[_Delivery]] = {}
        for delivery in settled:
            by_loop.setdefault(delivery.turn.loop, []).append(delivery)
        for loop, deliveries in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle_all, deliveries)
            except RuntimeError:  # the loop is closed: nobody waits any more
                log.info("predictions.delivery_unheard", n_calls=len(deliveries))


def _done(loop: asyncio.AbstractEventLoop, fate: Fate) -> asyncio.Future[Fate]:
    future: asyncio.Future[Fate] = loop.create_future()
    future.set_result(fate)
    return future


def _settle_all(deliveries: Sequence[_Delivery]) -> None:
    for delivery in deliveries:
        delivery.turn.settle(delivery)
