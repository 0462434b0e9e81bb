"""When each line of a replay is due, and which event times are odd. Django-free."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count, islice
from typing import NamedTuple

from streaming.replay_files import BadLine, Event

FAR_S = 86_400.0
LOOKS_AHEAD = 100  # lines
FEWEST = 10  # events alike, that tell a gap in the file from an odd time


class Line(NamedTuple):
    """A line of a file, and its number from 0. is_odd: its event time is far from those around it."""

    number: int
    content: Event | BadLine
    is_odd: bool


def numbered(contents: Iterable[Event | BadLine], first: int) -> Iterator[Line]:
    """The lines from number `first` on.

    Months of taxi trips hold a few of other years. An event is odd when it is more than a day from the last
    that was not, and like too few of those that follow: behind a gap of the file it is like them.
    """
    waiting, last_at = iter(contents), None
    coming = deque(islice(waiting, LOOKS_AHEAD))
    for number in count(first):
        coming.extend(islice(waiting, 1))
        if not coming:
            return
        content = coming.popleft()
        is_odd = isinstance(content, Event) and _is_odd(content.at, last_at, coming)
        if isinstance(content, Event) and not is_odd:
            last_at = content.at
        yield Line(number, content, is_odd)


def _is_odd(at: float, last_at: float | None, coming: Iterable[Event | BadLine]) -> bool:
    if last_at is not None and abs(at - last_at) <= FAR_S:
        return False
    others = [one.at for one in coming if isinstance(one, Event)]
    n_alike = sum(abs(at - other) <= FAR_S for other in others)
    most_needed = FEWEST if last_at is not None else (len(others) + 1) // 2  # of a file with few lines
    return n_alike < min(FEWEST, most_needed)


class Pace:
    """When each line is due, from the first line of the slice on. Either rate or speed is given.

    rate: lines a second; speed: seconds of event time a second. shift_s: what event times are moved by when
    no event may be sent before its moved time.
    """

    def __init__(
        self, began_at: float, *, rate: float | None, speed: float | None, shift_s: float | None
    ) -> None:
        self._began_at = began_at
        self._rate = rate
        self._speed = speed or 1.0
        self._shift_s = shift_s
        self._first_number: int | None = None
        self._first_at: float | None = None

    def due_at(self, line: Line) -> float:
        """Unix time. A bad line, an odd one, or one from before the first, is due at once."""
        if self._first_number is None:
            self._first_number = line.number
        if self._rate is not None:
            return self._began_at + (line.number - self._first_number) / self._rate
        if line.is_odd or isinstance(line.content, BadLine):
            return self._began_at
        at = line.content.at
        if self._first_at is None:
            self._first_at = at
        due_at = self._began_at + (at - self._first_at) / self._speed
        return due_at if self._shift_s is None else max(due_at, at + self._shift_s)
