"""What a live page of a stream draws: its full state, so that the latest frame is all a browser needs."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from streaming.windows import SHOWN_WINDOWS, Key, Windows

FRAME_EVERY_S = 0.1
DRAWING_SHARE = 0.1  # of the time that frames may take: a stream of many groups gets fewer
IDLE_FRAME_EVERY_S = 1.0
RATE_OVER_S = 5.0
N_RATES = 60
MOST_GROUPS = 5

Counts = Mapping[Key, int]
Measured = Callable[[Key], Mapping[str, float | None]]


class Pulse:
    """How many events come in a second, and when the next frame is due."""

    def __init__(self) -> None:
        self._by_second: deque[tuple[int, int]] = deque(maxlen=N_RATES + 1)
        self._sent_at = 0.0
        self._n_since_frame = 0
        self._took_s = 0.0

    def counted(self, n: int) -> None:
        """n events were counted just now."""
        second = int(time.time())
        if self._by_second and self._by_second[-1][0] == second:
            self._by_second[-1] = (second, self._by_second[-1][1] + n)
        elif n or self._by_second:
            self._by_second.append((second, n))
        self._n_since_frame += n

    def is_due(self) -> bool:
        """At most ten frames a second while events come, one a second else; true once for each."""
        since_s = time.monotonic() - self._sent_at
        every_s = FRAME_EVERY_S if self._n_since_frame else IDLE_FRAME_EVERY_S
        if since_s < max(every_s, self._took_s / DRAWING_SHARE):
            return False
        self._sent_at = time.monotonic()
        self._n_since_frame = 0
        return True

    def took(self, seconds: float) -> None:
        """How long the last frame took to make and send."""
        self._took_s = seconds

    def state(self) -> dict[str, Any]:
        """Rate now, over the last seconds, and by second; the second that runs is left out of the line."""
        now = int(time.time())
        counts = dict(self._by_second)
        seconds = range(now - N_RATES, now)
        recent = [counts.get(second, 0) for second in range(now - int(RATE_OVER_S), now)]
        return {
            "rate": sum(recent) / RATE_OVER_S,
            "rates": {"at": list(seconds), "n": [counts.get(second, 0) for second in seconds]},
        }


def of_memory(windows: Windows) -> dict[str, Any]:
    """The last windows as they are counted."""
    names = [measure.name for measure in windows.definition.measures]
    counts = {key: cell.count for key, cell in windows.cells.items()}
    return series(counts, lambda key: windows.measures(windows.cells[key]), names)


def of_rows(rows: Iterable[Any], names: list[str]) -> dict[str, Any]:
    """The same from window rows, for the page before the first frame."""
    by_key = {(int(row.start.timestamp()), row.group): row for row in rows}
    counts = {key: row.count for key, row in by_key.items()}
    return series(counts, lambda key: by_key[key].measures, names)


def series(counts: Counts, measured: Measured, names: list[str]) -> dict[str, Any]:
    """Columns for a chart: starts, and for each of the largest groups its count and measures by start.

    Other groups than the five largest are counted together; their means and extremes cannot be added.
    """
    starts = sorted({start for start, _ in counts})[-SHOWN_WINDOWS:]
    totals: Counter[str] = Counter()
    for (start, group), count in counts.items():
        if start >= starts[0]:
            totals[group] += count
    groups = sorted(group for group, _ in totals.most_common(MOST_GROUPS))
    table = {key: measured(key) for start in starts for group in groups if (key := (start, group)) in counts}
    values: dict[str, list[list[float | None]]] = {
        name: [[table.get((start, group), {}).get(name) for start in starts] for group in groups]
        for name in names
    }
    values["count"] = [[counts.get((start, group), 0) for start in starts] for group in groups]
    if len(totals) > len(groups):
        values["count"].append(_others(counts, starts, groups))
    return {
        "starts": starts,
        "groups": groups,
        "n_other_groups": len(totals) - len(groups),
        "values": values,
        "total": sum(totals.values()),
    }


def _others(counts: Counts, starts: list[int], groups: list[str]) -> list[float | None]:
    by_start: Counter[int] = Counter()
    for (start, group), count in counts.items():
        if group not in groups:
            by_start[start] += count
    return [by_start[start] for start in starts]
