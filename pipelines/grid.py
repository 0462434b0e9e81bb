"""The grid: one column a run, one row a task or a group; squares in the colours of states. No Django.

Squares of one state that follow one another in a column are one dashed line, so that thousands of them stay
small; what a square stands for is in its column's `facts`, which a script shows on hover.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines import labels
from pipelines.graph import Tasks, topological

CELL, GAP, BARS_H, TOP, INDENT = 20, 6, 44, 6, 12
NARROWEST_STEP, WIDEST_STEP = 14, 96
ROOM = 690  # of its card on a screen of the usual width
NARROWEST_LABELS, WIDEST_LABELS = 80, 280
LONGEST_LABEL = 38
GROUP_W = 56  # of its mark, bold letters, and the number of its tasks
# Of a task's mapped instances the square shows the one that needs a look most: every state of Airflow's.
WORST_FIRST = (
    "failed",
    "upstream_failed",
    "awaiting_input",
    "running",
    "restarting",
    "up_for_retry",
    "up_for_reschedule",
    "deferred",
    "queued",
    "scheduled",
    "removed",
    "skipped",
    "success",
)
_PLACES = {state: float(place) for place, state in enumerate(WORST_FIRST)}
UNKNOWN = _PLACES["scheduled"] + 0.5  # none yet, or a newer Airflow's: before those that are over


class Cell:
    """A task within a run: how many of its instances are in which state, and how long the longest took.

    A grid has ten thousand of them, nearly all of one instance: no dictionary is made for those, which would
    double what Python's collector goes through, a third of the time of the page.
    """

    __slots__ = ("_more", "_n", "_state", "seconds")

    def __init__(self, counts: Mapping[str, int] | None = None, seconds: float | None = None) -> None:
        self._state, self._n = "", 0
        self._more: dict[str, int] | None = None  # the states after the first
        self.seconds = seconds
        for state, n in (counts or {}).items():
            self.add(state, n, None)

    @property
    def counts(self) -> dict[str, int]:
        """How many are in each state; empty before any is known."""
        return {self._state: self._n, **(self._more or {})} if self._n else {}

    @property
    def state(self) -> str:
        return worst(self.counts) if self._more else self._state

    @property
    def n(self) -> int:
        """Of its instances."""
        return self._n + sum(self._more.values()) if self._more else self._n

    def add(self, state: str, n: int, seconds: float | None) -> None:
        """n instances more."""
        if not self._n or state == self._state:
            self._state, self._n = state, self._n + n
        else:
            more = self._more = self._more or {}
            more[state] = more.get(state, 0) + n
        if seconds is not None:
            self.seconds = max(self.seconds or 0.0, seconds)

    def facts(self, places: dict[str, int]) -> str:
        """`state:seconds:state=n,…`, the states by their places, which grow by those that are new."""
        state = places.setdefault(self.state, len(places))
        seconds = "" if self.seconds is None else f"{self.seconds:{'.0f' if self.seconds >= 10 else '.3g'}}"
        if self.n <= 1:
            return f"{state}:{seconds}"
        several = ",".join(f"{places.setdefault(one, len(places))}={n}" for one, n in self.counts.items())
        return f"{state}:{seconds}:{several}"


Cells = Mapping[int, Mapping[str, Cell]]  # by the run's key, then by the task's id


@dataclass(frozen=True)
class Stroke:
    """Squares of one state, as the path of a dashed line through their middle."""

    state: str
    path: str


@dataclass(frozen=True)
class Column:
    """A run: its bar (taller is longer), and its squares. facts: `Cell.facts` of each row, "|" between."""

    x: float
    middle: float
    run: Any
    bar_y: float
    bar_height: float
    strokes: list[Stroke]
    facts: str


@dataclass(frozen=True)
class Row:
    """The label of a task, or of a group, which is folded or not. x: its left end."""

    id: str
    x: float
    y: float
    label: str
    full_label: str
    is_group: bool
    is_folded: bool
    n_tasks: int


@dataclass(frozen=True)
class Grid:
    """All of it, with its size. states: what the numbers in `facts` stand for."""

    columns: list[Column]
    rows: list[Row]
    states: list[str]
    width: float
    height: float
    label_width: float
    square: float
    step: float
    top: float = TOP + BARS_H + GAP
    cell: int = CELL
    pitch: int = CELL + GAP


def place(state: str) -> float:
    """Where it stands among all states: the one that needs a look most comes first."""
    return _PLACES.get(state, UNKNOWN)


def worst(states: Iterable[str]) -> str:
    """The state that stands for several."""
    return min(sorted(set(states) - {""}), key=place, default="")


def draw(tasks: Tasks, runs: Sequence[Any], cells: Cells, *, fold: Collection[str] = ()) -> Grid:
    """runs: oldest first, each with `pk` and `duration`. fold: groups of which the tasks are not shown."""
    known = labels.groups_in(tasks, {task_id for of_run in cells.values() for task_id in of_run})
    ids = _task_ids(tasks, cells, known)
    rows = _rows(ids, {task["id"]: str(task.get("label") or "") for task in tasks}, fold, known)
    longest_label = max(
        (row.x + labels.width(row.label) + row.is_group * GROUP_W for row in rows), default=0.0
    )
    label_width = round(min(max(longest_label + 14, NARROWEST_LABELS), WIDEST_LABELS))
    n_columns = max(len(runs), 1)
    step = min(max((ROOM - label_width) // n_columns, NARROWEST_STEP), WIDEST_STEP)
    square = step - max(3, min(GAP, step // 5))
    seconds = [run.duration.total_seconds() if run.duration else 0.0 for run in runs]
    longest = max(seconds, default=0.0) or 1.0
    members = _members(ids, known)
    columns, places = [], {"": 0}
    for number, run in enumerate(runs):
        x = label_width + number * step
        height = BARS_H * (0.15 + 0.85 * seconds[number] / longest)
        of_rows = [_cell(row, cells.get(run.pk, {}), members) for row in rows]
        facts = "|".join(cell.facts(places) if cell else "" for cell in of_rows)
        strokes = _strokes(x + square / 2, [cell.state if cell else "" for cell in of_rows])
        columns.append(Column(x, x + square / 2, run, TOP + BARS_H - height, height, strokes, facts))
    size = label_width + n_columns * step, TOP + BARS_H + GAP + len(rows) * (CELL + GAP)
    return Grid(columns, rows, list(places), *size, label_width, square, step)


def _task_ids(tasks: Tasks, cells: Cells, known: labels.Groups) -> list[str]:
    """The tasks of the graph as it is now, then those that only older runs had; groups stay together."""
    ids = topological(tasks)
    older = sorted({task_id for of_run in cells.values() for task_id in of_run} - set(ids))
    first: dict[str, int] = {}
    for place, task_id in enumerate(ids):
        for group in labels.groups_of(task_id, known):
            first.setdefault(group, place)
    key = {
        task_id: [*(first[group] for group in labels.groups_of(task_id, known)), place]
        for place, task_id in enumerate(ids)
    }
    return [*sorted(ids, key=key.__getitem__), *older]


def _rows(
    ids: Sequence[str], names: Mapping[str, str], fold: Collection[str], known: labels.Groups
) -> list[Row]:
    """A row for each group before its tasks, without what a folded one holds."""
    n_tasks = labels.counted(ids, known)
    found: list[tuple[str, bool]] = []
    seen: set[str] = set()
    for task_id in ids:
        groups = labels.groups_of(task_id, known)
        folded_at = next((depth for depth, group in enumerate(groups) if group in fold), len(groups))
        for group in groups[: folded_at + 1]:
            if group not in seen:
                seen.add(group)
                found.append((group, True))
        if folded_at == len(groups):
            found.append((task_id, False))
    whole = [
        labels.own_name(name, "" if is_group else names.get(name, ""), known) for name, is_group in found
    ]
    short = labels.shortened(whole, LONGEST_LABEL)
    return [
        Row(
            name,
            INDENT * len(labels.groups_of(name, known)),
            TOP + BARS_H + GAP + place * (CELL + GAP) + CELL / 2,
            short[place],
            name if whole[place] in name else f"{whole[place]} ({name})",
            is_group,
            is_group and name in fold,
            n_tasks[name] if is_group else 0,
        )
        for place, (name, is_group) in enumerate(found)
    ]


def _members(ids: Sequence[str], known: labels.Groups) -> dict[str, list[str]]:
    members = defaultdict(list)
    for task_id in ids:
        for group in labels.groups_of(task_id, known):
            members[group].append(task_id)
    return members


def _cell(row: Row, of_run: Mapping[str, Cell], members: Mapping[str, list[str]]) -> Cell | None:
    """Of a task, or of all tasks of a group together; None where none was reached."""
    if not row.is_group:
        return of_run.get(row.id)
    whole = Cell()
    for task_id in members[row.id]:
        if task_id in of_run:
            for state, n in of_run[task_id].counts.items():
                whole.add(state, n, of_run[task_id].seconds)
    return whole if whole.n else None


def _strokes(middle: float, states: Sequence[str]) -> list[Stroke]:
    """One path for each state; a line goes on while the state stays."""
    paths = defaultdict(list)
    start = 0
    for place in range(1, len(states) + 1):
        if place == len(states) or states[place] != states[start]:
            y = TOP + BARS_H + GAP + start * (CELL + GAP)
            length = (place - start) * (CELL + GAP) - GAP
            paths[states[start]].append(f"M{middle:g} {y}v{length}")
            start = place
    return [Stroke(state, "".join(parts)) for state, parts in paths.items()]
