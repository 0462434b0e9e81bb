"""When the tasks of a run were at work, try by try, on one axis of time. No Django, no database.

A mapped task is one bar, from the first start to the last end of its instances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

WIDTH = 1000.0  # of the axis; the page stretches it
NARROWEST = 3.0
MOST_ROWS = 100
# A pause longer than all the time at work, and than a minute, is drawn as this share of it, and marked.
CUT_TO, SHORTEST_CUT_S = 0.12, 60.0


class Task(Protocol):
    """What is asked of a task: an instance, or all of a mapped one."""

    started_at: datetime | None
    ended_at: datetime | None

    @property
    def try_number(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def has_run(self) -> bool: ...
    @property
    def earlier_tries(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Try:
    """A try on the axis: x and width of WIDTH. is_earlier: another one came after it."""

    x: float
    width: float
    state: str
    number: int
    took: timedelta
    is_earlier: bool


@dataclass(frozen=True)
class Row:
    """A task with its tries, oldest first; none for one that never started."""

    task: Any
    tries: list[Try]


@dataclass(frozen=True)
class Gantt:
    """rows: the first MOST_ROWS. breaks: where pauses were cut out of the axis."""

    rows: list[Row]
    n_more: int
    start: datetime | None
    end: datetime | None
    breaks: list[float]


@dataclass(frozen=True)
class _Span:
    start: datetime
    end: datetime
    state: str
    number: int
    is_earlier: bool


def draw(tasks: Sequence[Task], *, now: datetime) -> Gantt:
    """now: where the bar of one that is at work ends."""
    shown = list(tasks)[:MOST_ROWS]
    spans = [_spans(task, now) for task in shown]
    axis = _Axis([span for some in spans for span in some])
    rows = [Row(task, [axis.place(span) for span in some]) for task, some in zip(shown, spans, strict=True)]
    return Gantt(rows, len(tasks) - len(shown), axis.start, axis.end, axis.breaks)


def _spans(task: Task, now: datetime) -> list[_Span]:
    found = [_earlier(one) for one in task.earlier_tries]
    if task.has_run and task.started_at is not None:
        end = max(task.ended_at or now, task.started_at)
        found.append(_Span(task.started_at, end, task.state, task.try_number, is_earlier=False))
    return found


def _earlier(one: Mapping[str, Any]) -> _Span:
    start, end = (datetime.fromisoformat(one[name]) for name in ("started_at", "ended_at"))
    return _Span(start, max(end, start), one["state"], one["try_number"], is_earlier=True)


class _Axis:
    """From moments to places; pauses in which nothing was at work are cut short."""

    def __init__(self, spans: list[_Span]) -> None:
        self._busy = _merged(spans)
        self.start = self._busy[0][0] if self._busy else None
        self.end = self._busy[-1][1] if self._busy else None
        at_work_s = sum((end - start).total_seconds() for start, end in self._busy)
        self._longest_s, self._cut_s = max(at_work_s, SHORTEST_CUT_S), max(at_work_s * CUT_TO, 1.0)
        self._length_s = 1.0
        self._length_s = max(self._seconds(self.end), 1.0) if self.end else 1.0
        self.breaks = [
            (self._seconds(end) + self._cut_s / 2) / self._length_s * WIDTH
            for (_start, end), (after, _end) in zip(self._busy, self._busy[1:], strict=False)
            if (after - end).total_seconds() > self._longest_s
        ]

    def _seconds(self, at: datetime) -> float:
        """From the start to then, without what is cut out of long pauses."""
        length, before = 0.0, None
        for start, end in self._busy:
            if before is not None:
                pause_s = (start - before).total_seconds()
                length += self._cut_s if pause_s > self._longest_s else pause_s
            if at <= end:
                return length + max((at - start).total_seconds(), 0.0)
            length, before = length + (end - start).total_seconds(), end
        return length

    def place(self, span: _Span) -> Try:
        x = self._seconds(span.start) / self._length_s * WIDTH
        width = (self._seconds(span.end) - self._seconds(span.start)) / self._length_s * WIDTH
        width = max(width, NARROWEST)
        x = min(x, WIDTH - width)
        took = span.end - span.start
        return Try(round(x, 1), round(width, 1), span.state, span.number, took, span.is_earlier)


def _merged(spans: list[_Span]) -> list[tuple[datetime, datetime]]:
    """The times at which something was at work, in order, without overlaps."""
    found: list[tuple[datetime, datetime]] = []
    for span in sorted(spans, key=lambda one: one.start):
        if found and span.start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], span.end))
        else:
            found.append((span.start, span.end))
    return found
