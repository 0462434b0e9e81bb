"""What the pages draw beside rows: the graph in a run's colours."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from core.lib import json_out
from pipelines import graph, grid, labels
from pipelines.graph import Box, Drawing
from pipelines.models import TaskInstance


@dataclass(frozen=True)
class ColouredBox:
    """A task's box with its state; `url_query` chooses its log."""

    box: Box
    state: str
    is_shown: bool
    n_instances: int


class Group(NamedTuple):
    """A group of tasks, as the chips above a graph have it."""

    name: str
    n_tasks: int
    is_folded: bool


@dataclass(frozen=True)
class ColouredGraph:
    """The drawing, its boxes with states. Empty for a pipeline without known tasks."""

    drawing: Drawing
    boxes: list[ColouredBox]


def coloured(
    tasks_of_graph: list[dict[str, Any]],
    *,
    shown: TaskInstance | None = None,
    cells: Mapping[str, grid.Cell] | None = None,
    fold: Collection[str] = (),
) -> ColouredGraph:
    """The graph; cells: of a run, without which all boxes are plain."""
    drawing = _drawn(json_out.encode(tasks_of_graph), tuple(fold))
    inside = _inside(tasks_of_graph, cells or {}) if fold else {}
    boxes = [_coloured(box, cells or {}, inside, shown) for box in drawing.boxes]
    return ColouredGraph(drawing, boxes)


def groups(tasks_of_graph: list[dict[str, Any]], fold: Collection[str]) -> list[Group]:
    """The groups of a graph by name, without those within a folded one."""
    known = labels.groups_in(tasks_of_graph)
    counts = labels.counted((task["id"] for task in tasks_of_graph), known)
    return [
        Group(name, n, name in fold)
        for name, n in sorted(counts.items())
        if not any(outer in fold for outer in labels.groups_of(name, known))
    ]


@lru_cache(maxsize=100)  # to lay out hundreds of tasks takes longer than all else on their page
def _drawn(tasks_of_graph: bytes, fold: tuple[str, ...]) -> Drawing:
    tasks = orjson.loads(tasks_of_graph)
    return graph.draw(graph.folded(tasks, fold) if fold else tasks)


def _inside(tasks: list[dict[str, Any]], cells: Mapping[str, grid.Cell]) -> dict[str, list[grid.Cell]]:
    """What of each group is in the run."""
    known = labels.groups_in(tasks, cells)
    found: dict[str, list[grid.Cell]] = defaultdict(list)
    for task_id, cell in cells.items():
        for group in labels.groups_of(task_id, known):
            found[group].append(cell)
    return found


def _coloured(
    box: Box,
    cells: Mapping[str, grid.Cell],
    inside: Mapping[str, list[grid.Cell]],
    shown: TaskInstance | None,
) -> ColouredBox:
    if box.n_tasks:
        state, n = grid.worst(cell.state for cell in inside.get(box.id, ())), box.n_tasks
    else:
        cell = cells.get(box.id)
        state, n = (cell.state, cell.n) if cell else ("", 0)
    return ColouredBox(box, state, shown is not None and shown.task_id == box.id, n)
