"""Tumbling windows of event time in memory: what was counted, by window start and group. Django-free.

A batch is added column by column in numpy: for tens of thousands of events a second a loop is too slow.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from scoring.words import grouped
from streaming.decoding import YEAR_2000_S, EventDecoder
from streaming.definition import Definition

MAX_AHEAD_S = 300
EARLIEST = float(YEAR_2000_S)  # an event from before it has a clock that was never set
MAX_GROUP = 200  # characters
MARK = 12
MAX_GROUPS = 500  # of one window; the rest are counted together
MISSING, OTHERS = "(missing)", "(others)"
SHOWN_WINDOWS = 30
# Of a whole stream in memory; with 20 fields measured a cell takes some 5 kB. When there are more, windows
# that are not shown are forgotten, however late an event may come: the database has them.
MOST_CELLS = 30_000
MOST_CODES = 10_000

Key = tuple[int, str]


class Cell:
    """One window of one group. stats: for each measured field [values, sum, smallest, largest]."""

    __slots__ = ("count", "is_complete", "stats")

    def __init__(self, n_fields: int) -> None:
        self.count = 0
        self.stats = [[0, 0.0, math.inf, -math.inf] for _ in range(n_fields)]
        self.is_complete = False  # what the database holds of it is added

    def add(self, count: int, stats: Iterable[Sequence[float]]) -> None:
        """Add what another cell, or a stored row, counted."""
        self.count += count
        for mine, (n, total, low, high) in zip(self.stats, stats, strict=True):
            mine[0] += int(n)
            mine[1] += total
            mine[2] = min(mine[2], low)
            mine[3] = max(mine[3], high)


class Refused(NamedTuple):
    """An event of the batch, by its place there from 0, and why it is in no window."""

    place: int
    reason: str


class Added(NamedTuple):
    """newest: the newest event time that was accepted, -inf when none was."""

    refused: list[Refused]
    newest: float


class Windows:
    """The windows of one stream that its page shows, and of those that may still change as many as fit."""

    def __init__(self, definition: Definition, decoder: EventDecoder) -> None:
        self.definition = definition
        self.cells: dict[Key, Cell] = {}
        self.changed: set[Key] = set()
        self.newest = -math.inf
        self.whole_since = -math.inf  # a window that starts before may be known to the database alone
        names = [definition.event_time_field, *definition.measured_fields]
        if definition.group_by:
            names.append(definition.group_by)
        self._columns = attrgetter(*(decoder.attribute(name) for name in names), "__class__")
        self._times = decoder.times
        self._texts = {field.name for field in definition.fields if field.is_text}
        self._codes: dict[Any, int] = {}
        self._n_groups: Counter[int] = Counter()

    def add(self, events: Sequence[Any], *, now: float, newest: float | None = None) -> Added:
        """Count checked events in the order given, but for those that are too early or too late.

        newest: what lateness is judged against, by default the newest event time accepted so far; but never
        more than our clock: one sender whose clock is ahead makes nobody else late.
        Whatever it raises, nothing is counted then: BadEvent when an event time is no time.
        """
        if not events:
            return Added([], -math.inf)
        columns = list(zip(*map(self._columns, events), strict=True))
        at = np.fromiter(map(self._times.__getitem__, columns[0]), float, len(events))
        refused, is_good = self._judged(at, now, self.newest if newest is None else newest)
        if not is_good.any():
            return Added(refused, -math.inf)
        newest_here = float(at[is_good].max())
        self._count(at, columns, is_good)
        self.newest = max(self.newest, min(newest_here, now))
        return Added(refused, newest_here)

    def _judged(self, at: np.ndarray, now: float, newest: float) -> tuple[list[Refused], np.ndarray]:
        is_ahead, is_ancient = at > now + MAX_AHEAD_S, at < EARLIEST
        accepted = np.where(is_ahead | is_ancient, -np.inf, at)
        seen = np.maximum.accumulate(np.concatenate(([newest], accepted[:-1])))
        before = np.minimum(seen, now)
        is_late = at < before - self.definition.lateness_s
        is_bad = is_ahead | is_ancient | is_late
        refused = []
        for index in np.flatnonzero(is_bad).tolist():
            if is_ahead[index]:
                ahead = grouped(round(at[index] - now))
                reason = f"ahead of the clock by {ahead} s, at most {MAX_AHEAD_S} s are allowed"
            elif is_ancient[index]:
                reason = "event time before the year 2000"
            else:
                behind = grouped(round(before[index] - at[index]))
                allowed = grouped(self.definition.lateness_s)
                what = "the clock" if seen[index] > now else "the newest event"
                reason = f"late: {behind} s behind {what}, at most {allowed} s are allowed"
            refused.append(Refused(index, reason))
        return refused, ~is_bad

    def _count(self, at: np.ndarray, columns: list[tuple[Any, ...]], is_good: np.ndarray) -> None:
        window_s = self.definition.window_s
        starts = np.floor(at[is_good] / window_s).astype(np.int64)
        codes = self._group_codes(columns)[is_good]
        keys = starts * (len(self._codes) + 1) + codes
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        firsts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        counts = np.diff(np.append(firsts, len(ordered))).tolist()
        stats = [
            _stats(self._numbers(columns[1 + position], name)[is_good][order], firsts)
            for position, name in enumerate(self.definition.measured_fields)
        ]
        names, is_grouped = list(self._codes), bool(self.definition.group_by)
        leaders = order[firsts].tolist()
        groups = [group_name(names[codes[first]]) if is_grouped else "" for first in leaders]
        for place, (first, group) in enumerate(zip(leaders, groups, strict=True)):  # nothing here can fail
            cell = self._cell(int(starts[first]) * window_s, group)
            cell.add(counts[place], [field[place] for field in stats])

    def _numbers(self, column: tuple[Any, ...], name: str) -> np.ndarray:
        """One number for each event, NaN for null; of a text only whether it is there."""
        if name in self._texts:
            column = tuple(None if value is None else 0.0 for value in column)
        return np.array(column, float)

    def _group_codes(self, columns: list[tuple[Any, ...]]) -> np.ndarray:
        if not self.definition.group_by:
            return np.zeros(len(columns[0]), np.int64)
        if len(self._codes) > MOST_CODES:
            self._codes.clear()
        codes, values = self._codes, columns[-2]
        for value in set(values):
            codes.setdefault(value, len(codes))
        return np.fromiter(map(codes.__getitem__, values), np.int64, len(values))

    def _cell(self, start: int, group: str) -> Cell:
        key = (start, group)
        if key not in self.cells:
            if start >= self.whole_since and self._n_groups[start] >= MAX_GROUPS:
                key = (start, OTHERS)
            if key not in self.cells:
                self._n_groups[start] += 1
                self.cells[key] = Cell(len(self.definition.measured_fields))
        self.changed.add(key)
        return self.cells[key]

    def fold(self, key: Key) -> None:
        """Count this group among the others of its window."""
        cell, others = self.cells.pop(key), (key[0], OTHERS)
        self.changed.discard(key)
        self.changed.add(others)
        if others in self.cells:
            self._n_groups[key[0]] -= 1
        else:
            self.cells[others] = Cell(len(cell.stats))
        self.cells[others].add(cell.count, cell.stats)

    def put(self, start: int, group: str, count: int, stats: Sequence[Sequence[float]]) -> None:
        """A window as the database holds it."""
        cell = Cell(len(stats))
        cell.add(count, stats)
        cell.is_complete = True
        self.cells[(start, group)] = cell
        self._n_groups[start] += 1

    def forget_old(self) -> None:
        """Drop what can change no more and is not shown; call it when nothing is left to write.

        When there are too many, what may change goes as well: met again, the database's part is added.
        """
        oldest = self.shown_since
        if len(self.cells) <= MOST_CELLS:
            oldest = min(oldest, self.newest - self.definition.lateness_s - self.definition.window_s)
        for key in [key for key in self.cells if key[0] < oldest and key not in self.changed]:
            del self.cells[key]
            self._n_groups[key[0]] -= 1
        self._n_groups += Counter()  # without those at zero
        self.whole_since = max(self.whole_since, oldest)

    @property
    def shown_since(self) -> float:
        """A window that starts before is on no page."""
        return self.newest - (SHOWN_WINDOWS + 1) * self.definition.window_s

    def measures(self, cell: Cell) -> dict[str, float | None]:
        """The numbers of the definition; None where every value was null."""
        return measures(self.definition, cell.count, cell.stats)


def measures(definition: Definition, count: int, stats: Sequence[Sequence[float]]) -> dict[str, float | None]:
    """stats: as in a cell. Sums keep twelve significant digits: the order of adding leaves no trace."""
    by_field = dict(zip(definition.measured_fields, stats, strict=True))
    return {measure.name: _value(measure.kind, by_field[measure.field]) for measure in definition.measures}


def _value(kind: str, stats: Sequence[float]) -> float | None:
    n, total, low, high = stats
    if kind == "count":
        return int(n)
    if not n:
        return 0.0 if kind == "sum" else None
    value = {"sum": total, "mean": total / n, "min": low, "max": high}[kind]
    return float(f"{value:.12g}")


def group_name(value: Any) -> str:
    """A group as it is stored and shown. Long ones are cut, with a mark that keeps them apart."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if len(text) > MAX_GROUP:
        mark = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:MARK]
        text = f"{text[: MAX_GROUP - MARK - 1]}…{mark}"
    return storable(text)


def storable(text: str) -> str:
    """Text that PostgreSQL takes: without NUL and halves of characters."""
    whole = text.encode("utf-8", "replace").decode()
    return whole.replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _stats(values: np.ndarray, firsts: np.ndarray) -> list[list[float]]:
    """Of each run of equal keys: how many values, their sum, the smallest, the largest. NaN is null."""
    is_null = np.isnan(values)
    if is_null.any():
        n = np.add.reduceat((~is_null).astype(np.int64), firsts)
        total = np.add.reduceat(np.where(is_null, 0.0, values), firsts)
        low = np.minimum.reduceat(np.where(is_null, np.inf, values), firsts)
        high = np.maximum.reduceat(np.where(is_null, -np.inf, values), firsts)
    else:
        n = np.diff(np.append(firsts, len(values)))
        total = np.add.reduceat(values, firsts)
        low, high = np.minimum.reduceat(values, firsts), np.maximum.reduceat(values, firsts)
    return np.column_stack([n, total, low, high]).tolist()
