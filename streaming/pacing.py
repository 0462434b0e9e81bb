"""When each line of a replay is due, and which event times are odd. Django-free."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice
from typing import NamedTuple

from streaming.replay_files import BadLine, Event

FAR_S = 86_400.0
FAR_WIDTHS = 2  # of the middle of the events around; where steps are alike none is as far from it, at no end
AROUND = 20  # lines on either side
FEWEST = 4  # events around, of which to tell what is odd


class Line(NamedTuple):
    """A line of a file, and its number from 0. is_odd: its event time is far from those around it."""

    number: int
    content: Event | BadLine
    is_odd: bool


def numbered(contents: Iterable[Event | BadLine], first: int) -> Iterator[Line]:
    """The lines from number `first` on.

    Months of taxi trips hold a few of other years. Behind a gap, or in a file with an event a week, none is
    odd: those around it lie as far apart.
    """
    waiting = iter(contents)
    last_at: float | None = None
    before: deque[Event | BadLine] = deque(maxlen=AROUND)
    coming = deque(islice(waiting, AROUND))
    for number in count(first):
        coming.extend(islice(waiting, 1))
        if not coming:
            return
        content, is_odd = coming.popleft(), False
        if isinstance(content, Event):
            is_near = last_at is not None and abs(content.at - last_at) <= FAR_S
            is_odd = not is_near and _is_odd(content.at, chain(before, coming))
            last_at = last_at if is_odd else content.at
        before.append(content)
        yield Line(number, content, is_odd)


def _is_odd(at: float, around: Iterable[Event | BadLine]) -> bool:
    """Whether it is far from the middle two thirds of them: by more than a day, and than those are wide."""
    others = sorted(one.at for one in around if isinstance(one, Event))
    if len(others) < FEWEST:
        return False
    edge = len(others) // 6
    low, high = others[edge], others[-1 - edge]
    return max(low - at, at - high) > max(FAR_S, FAR_WIDTHS * (high - low))


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
