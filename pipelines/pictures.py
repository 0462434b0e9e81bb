"""What the pages draw beside rows: the graph in a run's colours, and which task's log is shown."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from django.http import HttpRequest

from core.lib import json_out
from pipelines import graph, grid
from pipelines.graph import Box, Drawing
from pipelines.models import NEVER_RAN, Run, TaskInstance


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
    run: Run | None,
    *,
    tasks: Sequence[TaskInstance] | None = None,
    shown: TaskInstance | None = None,
    cells: Mapping[str, grid.Cell] | None = None,
    fold: Collection[str] = (),
) -> ColouredGraph:
    """The graph; without a run all boxes are plain. cells: of this run, where they were read already."""
    drawing = _drawn(json_out.encode(tasks_of_graph), tuple(fold))
    if cells is None:
        if tasks is None:
            tasks = list(run.task_instances.all()) if run else []
        cells = grid.cells_of(tasks)
    boxes = [_coloured(box, cells, shown) for box in drawing.boxes]
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


def chosen_task(request: HttpRequest, tasks: Sequence[TaskInstance]) -> TaskInstance | None:
    """The task that `?task=` names, else what a reader looks for: failed, asking, running, latest started."""
    wanted, index = request.GET.get("task", ""), request.GET.get("map_index", "")
    named = [task for task in tasks if task.task_id == wanted]
    exact = [task for task in named if str(task.map_index) == index]
    if exact or named:
        return (exact or named)[0]
    for states in ({"failed"}, {"awaiting_input"}, {"running", "up_for_retry"}):
        found = next((task for task in tasks if task.state in states), None)
        if found is not None:
            return found
    started = [task for task in tasks if task.started_at is not None and task.state not in NEVER_RAN]
    # An operator that does nothing, such as one where branches join, ends as it starts and has no log.
    started = [task for task in started if task.duration_s] or started
    return max(started, key=lambda task: task.started_at, default=tasks[0] if tasks else None)
