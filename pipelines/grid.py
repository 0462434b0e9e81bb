"""The grid: one column a run, one row a task; squares in the colours of states. No Django."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.graph import Tasks, topological

CELL, GAP, BARS_H, LABEL_W, TOP = 20, 6, 44, 108, 6
LONGEST_LABEL = 14
# Of a task's mapped instances the square shows the one that needs a look most.
WORST_FIRST = (
    "failed",
    "upstream_failed",
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


@dataclass(frozen=True)
class Square:
    """A task within a run."""

    y: float
    task_id: str
    state: str
    n_instances: int


@dataclass(frozen=True)
class Column:
    """A run: its bar (taller is longer) and its squares from top to bottom."""

    x: float
    run: Any
    bar_y: float
    bar_height: float
    squares: list[Square]


@dataclass(frozen=True)
class Row:
    """The label of a task."""

    y: float
    label: str
    full_label: str


@dataclass(frozen=True)
class Grid:
    """All of it, with its size."""

    columns: list[Column]
    rows: list[Row]
    width: float
    height: float
    cell: int = CELL
    label_width: int = LABEL_W


def worst(states: Iterable[str]) -> str:
    """The state that stands for several."""
    given = set(states)
    known = next((state for state in WORST_FIRST if state in given), "")
    return known or next(iter(sorted(given - {""})), "")


def states_by_task(instances: Iterable[Any]) -> dict[str, list[str]]:
    """task id -> the states of its instances."""
    states = defaultdict(list)
    for instance in instances:
        states[instance.task_id].append(instance.state)
    return states


def draw(tasks: Tasks, runs: Sequence[Any]) -> Grid:
    """runs: oldest first, each with `task_instances` read along and `duration`."""
    instances = [states_by_task(run.task_instances.all()) for run in runs]
    ids = _row_ids(tasks, instances)
    tops = {task_id: TOP + BARS_H + GAP + number * (CELL + GAP) for number, task_id in enumerate(ids)}
    seconds = [run.duration.total_seconds() if run.duration else 0.0 for run in runs]
    longest = max(seconds, default=0.0) or 1.0
    columns = []
    for number, (run, states) in enumerate(zip(runs, instances, strict=True)):
        height = BARS_H * (0.15 + 0.85 * seconds[number] / longest)
        squares = [
            Square(tops[task_id], task_id, worst(states.get(task_id, [])), len(states.get(task_id, [])))
            for task_id in ids
        ]
        columns.append(Column(LABEL_W + number * (CELL + GAP), run, TOP + BARS_H - height, height, squares))
    rows = [Row(tops[task_id] + CELL / 2, _short(task_id), task_id) for task_id in ids]
    width = LABEL_W + max(len(runs), 1) * (CELL + GAP)
    return Grid(columns, rows, width, TOP + BARS_H + GAP + len(ids) * (CELL + GAP))


def _row_ids(tasks: Tasks, instances: Sequence[Mapping[str, list[str]]]) -> list[str]:
    """The tasks of the graph as it is now, then those that only older runs had."""
    ids = topological(tasks)
    older = sorted({task_id for states in instances for task_id in states} - set(ids))
    return [*ids, *older]


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 7]}…{label[-6:]}"
