"""One stream's messages, counted: `handle` takes a batch and needs no broker, `save` writes what it made."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from core.lib import kafka
from core.lib.aside_round import is_ours
from streaming import dead_room, ledger
from streaming.decoding import MAX_EVENT_BYTES, BadEvent, EventDecoder, Ignored
from streaming.ledger import Dead, Headers, Position
from streaming.models import Stream
from streaming.windows import Windows

log = structlog.get_logger(__name__)

MOST_CHANGED = 20_000
MOST_DEAD = 2_000
MOST_DEAD_BYTES = 8 * 1024 * 1024


class Message(Protocol):
    """What is needed of a message of confluent-kafka."""

    def value(self) -> bytes | None: ...
    def key(self) -> bytes | None: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...


Reason = tuple[Message, str]


class Line(NamedTuple):
    """One event of a message that holds several. number: from 1."""

    message: Message
    text: bytes
    number: int

    def value(self) -> bytes:
        return self.text

    def key(self) -> bytes | None:
        return self.message.key()

    def partition(self) -> int:
        return self.message.partition()

    def offset(self) -> int:
        return self.message.offset()

    def headers(self) -> Any:
        return self.message.headers()


class Counting:
    """State of one stream since the last `save`: windows, positions, dead letters."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.positions = ledger.positions(stream)
        self._saved = self._copy()
        self._decoder = EventDecoder(stream.parsed)
        self.windows = Windows(stream.parsed, self._decoder)
        ledger.load(stream, self.windows)
        self._room = dead_room.Room(stream)
        self.dead: list[Dead] = []
        self.dead_bytes = 0
        self.n_counted = self.n_refused = 0  # events; messages that are dead letters
        # Partitions that were read to their end, without a stall since. Of the others some may be hours
        # ahead, only because they were read first: lateness is then judged within the partition.
        self.caught_up: set[int] = set()

    @property
    def is_full(self) -> bool:
        """Whether what is not saved takes so much memory that it should be saved now."""
        if len(self.windows.changed) > MOST_CHANGED:
            return True
        return self.dead_bytes > MOST_DEAD_BYTES or len(self.dead) > MOST_DEAD

    @property
    def has_news(self) -> bool:
        """Whether there is anything to save."""
        return self.positions != self._saved

    def handle(self, messages: Sequence[Message], *, is_one_partition: bool = False) -> None:
        """Count messages without errors, in the order of each partition."""
        now = time.time()
        if not self.dead:
            self._room.look_again()
        if is_one_partition:
            if messages:
                self._handle_partition(messages[0].partition(), messages, now)
            return
        by_partition: dict[int, list[Message]] = {}
        for message in messages:
            by_partition.setdefault(message.partition(), []).append(message)
        for partition, own in by_partition.items():
            self._handle_partition(partition, own, now)

    def reached_end(self, partition: int, next_offset: int) -> None:
        """The partition has no message now before `next_offset`; those in between were markers."""
        self.caught_up.add(partition)
        self._position(partition).next_offset = next_offset

    def fell_behind(self, partition: int) -> None:
        """What is in the partition may have waited: up to its end it is judged by its own events."""
        self.caught_up.discard(partition)

    def save(self) -> None:
        """Write all since the last call in one transaction. After any exception this object is spent."""
        ledger.write(
            self.stream,
            self.windows,
            before=self._saved,
            after=self.positions,
            dead=sorted(self.dead, key=_place),
            beyond=self._room.beyond,
        )
        self._room.beyond.clear()
        self._saved = self._copy()
        self.dead, self.dead_bytes = [], 0
        self.windows.forget_old()

    def _handle_partition(self, partition: int, messages: Sequence[Message], now: float) -> None:
        """One event's fault is that event's alone: what fails together is counted half by half.

        Of 5,000 messages one bad one costs 26 calls more.
        """
        try:
            self._count(partition, messages, now)
        except Exception as error:
            if is_ours(error):
                raise
            if len(messages) > 1:
                middle = len(messages) // 2
                self._handle_partition(partition, messages[:middle], now)
                self._handle_partition(partition, messages[middle:], now)
                return
            if not isinstance(error, BadEvent):
                log.exception("stream.event_failed", stream=self.stream.name, offset=messages[0].offset())
            self._put_aside([], [(messages[0], _words(error))])
            self._position(partition).next_offset = messages[0].offset() + 1

    def _count(self, partition: int, messages: Sequence[Message], now: float) -> None:
        """All of them, or by any exception none."""
        events, of_events, refused = self._events(messages)
        position = self._position(partition)
        newest = None if partition in self.caught_up else position.newest
        added = self.windows.add(events, now=now, newest=newest)
        self._put_aside(refused, [(of_events[place], reason) for place, reason in added.refused])
        self.n_counted += len(events) - len(added.refused)
        position.newest = max(position.newest, added.newest)
        position.next_offset = messages[-1].offset() + 1

    def _events(self, messages: Sequence[Message]) -> tuple[list[Any], Sequence[Message], list[Reason]]:
        """Typed events, the messages or lines that they came in, and those that are none."""
        decode = self._decoder.decode
        events: list[Any] = []
        instead: dict[int, list[Message]] = {}
        refused: list[Reason] = []
        for index, message in enumerate(messages):
            value = message.value()
            try:
                if value is None or len(value) > MAX_EVENT_BYTES:
                    raise BadEvent
                events.append(decode(value))
            except (msgspec.MsgspecError, ValueError, RecursionError):
                instead[index] = self._checked(message, events, refused)
        if instead:
            found = (instead.get(index, [message]) for index, message in enumerate(messages))
            messages = list(chain.from_iterable(found))
        return events, messages, refused

    def _checked(self, message: Message, events: list[Any], refused: list[Reason]) -> list[Message]:
        """Add what the message holds to either list; returns what became an event: the message, or lines."""
        found = []
        for part in parts(message):
            try:
                events.append(self._decoder.checked(part.value()))
            except Ignored:
                continue
            except BadEvent as error:
                refused.append((part, str(error)))
            else:
                found.append(part)
        return found

    def _put_aside(self, odd: Sequence[Reason], events: Sequence[Reason]) -> None:
        """One letter for each message; of several lines it holds those that were refused, with one reason.

        events: those that can be read. An anomaly rule reads them too, and knows by their letters that they
        are not counted: these are kept, however many they are.
        """
        by_place: dict[tuple[int, int], list[Reason]] = {}
        has_rule = self.stream.parsed.anomaly_rule is not None
        needed = {(one.partition(), one.offset()) for one, _ in events} if has_rule else set()
        for message, reason in [*odd, *events]:
            by_place.setdefault((message.partition(), message.offset()), []).append((message, reason))
        for place, own in by_place.items():
            message, reason = own[0]
            self.n_refused += 1
            if place not in needed and not self._room.takes(reason):
                continue
            lines = tuple(part.number for part, _ in own if isinstance(part, Line))
            value = b"\n".join(part.value() or b"" for part, _ in own) if lines else message.value()
            headers = _headers(message)
            letter = ledger.dead(*place, reason, key=message.key(), value=value, headers=headers, lines=lines)
            self.dead.append(letter)
            self.dead_bytes += len(letter.value or b"")

    def _position(self, partition: int) -> Position:
        return self.positions.setdefault(partition, Position(0))

    def _copy(self) -> dict[int, Position]:
        return {partition: replace(position) for partition, position in self.positions.items()}


def _headers(message: Message) -> Headers:
    """Kafka takes any bytes as a name, the client only UTF-8: then none can be read."""
    try:
        return ledger.kept_headers(message.headers() or [])
    except UnicodeDecodeError:
        return Headers(n_left_out=1)


def parts(message: Message) -> Sequence[Message]:
    """The events that it holds: itself, or its lines."""
    found = kafka.lines(message.value() or b"")
    return [message] if len(found) == 1 else [Line(message, *one) for one in zip(found, count(1))]


def _words(error: Exception) -> str:
    """Without the values of the message, which may be private."""
    return str(error) if isinstance(error, BadEvent) else f"it could not be counted: {type(error).__name__}"


def _place(letter: Dead) -> tuple[int, int]:
    return letter.partition, letter.offset
