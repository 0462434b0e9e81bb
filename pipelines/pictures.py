"""What the pages draw beside rows: the graph in a run's colours."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from core.lib import json_out
from pipelines import graph, grid
from pipelines.graph import Box, Drawing
from pipelines.models import TaskInstance


@dataclass(frozen=True)
class ColouredBox:
    """A task's box with its state; `url_query` chooses its log."""

    box: Box
    state: str
    is_shown: bool
    n_instances: int


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
    boxes = [_coloured(box, cells or {}, shown) for box in drawing.boxes]
    return ColouredGraph(drawing, boxes)


@lru_cache(maxsize=100)  # to lay out hundreds of tasks takes longer than all else on their page
def _drawn(tasks_of_graph: bytes, fold: tuple[str, ...]) -> Drawing:
    tasks = orjson.loads(tasks_of_graph)
    return graph.draw(graph.folded(tasks, fold) if fold else tasks)


def _coloured(box: Box, cells: Mapping[str, grid.Cell], shown: TaskInstance | None) -> ColouredBox:
    if box.n_tasks:
        inside = [cell for name, cell in cells.items() if name.startswith(f"{box.id}.")]
        state, n = grid.worst(cell.state for cell in inside), box.n_tasks
    else:
        cell = cells.get(box.id)
        state, n = (cell.state, cell.n) if cell else ("", 0)
    return ColouredBox(box, state, shown is not None and shown.task_id == box.id, n)
