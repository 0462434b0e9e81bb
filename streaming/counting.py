"""One stream's messages, counted: `handle` takes a batch and needs no broker, `save` writes what it made."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from streaming import ledger
from streaming.decoding import MAX_EVENT_BYTES, BadEvent, EventDecoder, Ignored
from streaming.ledger import Dead, Position
from streaming.models import Stream
from streaming.windows import Windows

MOST_DEAD = 2_000
MOST_DEAD_BYTES = 8 * 1024 * 1024


class Message(Protocol):
    """What is needed of a message of confluent-kafka."""

    def value(self) -> bytes | None: ...
    def key(self) -> bytes | None: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...


class Counting:
    """State of one stream since the last `save`: windows, positions, dead letters."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.positions = ledger.positions(stream)
        self._saved = self._copy()
        self._decoder = EventDecoder(stream.parsed)
        self.windows = Windows(stream.parsed, self._decoder)
        ledger.load(stream, self.windows)
        self.dead: list[Dead] = []
        self.dead_bytes = 0
        self.n_counted = 0
        # Partitions read to their end since the start. Before, other partitions may be hours ahead, only
        # because they were read first: lateness is then judged within the partition.
        self.caught_up: set[int] = set()

    @property
    def is_full(self) -> bool:
        """Whether dead letters take so much memory that they should be saved now."""
        return self.dead_bytes > MOST_DEAD_BYTES or len(self.dead) > MOST_DEAD

    @property
    def has_news(self) -> bool:
        """Whether there is anything to save."""
        return self.positions != self._saved

    def handle(self, messages: Sequence[Message], *, is_one_partition: bool = False) -> None:
        """Count messages without errors, in the order of each partition."""
        now = time.time()
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

    def save(self) -> None:
        """Write all since the last call in one transaction. After any exception this object is spent."""
        ledger.write(
            self.stream,
            self.windows,
            before=self._saved,
            after=self.positions,
            dead=sorted(self.dead, key=_place),
        )
        self._saved = self._copy()
        self.dead, self.dead_bytes = [], 0
        self.windows.forget_old()

    def _handle_partition(self, partition: int, messages: Sequence[Message], now: float) -> None:
        position = self._position(partition)
        events, of_events = self._events(messages)
        newest = None if partition in self.caught_up else position.newest
        try:
            added = self.windows.add(events, now=now, newest=newest)
        except BadEvent:
            events, of_events = self._with_times(of_events)
            added = self.windows.add(events, now=now, newest=newest)
        for place, reason in added.refused:
            self._put_aside(of_events[place], reason)
        self.n_counted += len(events) - len(added.refused)
        position.newest = max(position.newest, added.newest)
        position.next_offset = messages[-1].offset() + 1

    def _events(self, messages: Sequence[Message]) -> tuple[list[Any], Sequence[Message]]:
        """Typed events, and the messages that they came in."""
        decode = self._decoder.decode
        events: list[Any] = []
        bad: set[int] = set()
        for index, message in enumerate(messages):
            value = message.value()
            try:
                if value is None or len(value) > MAX_EVENT_BYTES:
                    raise BadEvent
                events.append(decode(value))
            except (msgspec.MsgspecError, ValueError, RecursionError):
                bad.add(index)
                self._refuse(message)
        if bad:
            messages = [message for index, message in enumerate(messages) if index not in bad]
        return events, messages

    def _with_times(self, messages: Sequence[Message]) -> tuple[list[Any], Sequence[Message]]:
        """Those whose event time is one; the others are put aside."""
        events, kept = [], []
        for message in messages:
            try:
                events.append(self._decoder.checked(message.value()))
            except BadEvent as error:
                self._put_aside(message, str(error))
            else:
                kept.append(message)
        return events, kept

    def _refuse(self, message: Message) -> None:
        try:
            self._decoder.checked(message.value())
        except BadEvent as error:
            self._put_aside(message, str(error))
        except Ignored:
            return

    def _put_aside(self, message: Message, reason: str) -> None:
        value = message.value()
        self.dead.append(Dead(message.partition(), message.offset(), reason, message.key(), value))
        self.dead_bytes += len(value or b"")

    def _position(self, partition: int) -> Position:
        return self.positions.setdefault(partition, Position(0))

    def _copy(self) -> dict[int, Position]:
        return {partition: replace(position) for partition, position in self.positions.items()}


def _place(letter: Dead) -> tuple[int, int]:
    return letter.partition, letter.offset
