"""Drawing a pipeline's graph: tasks in layers from left to right, as boxes and curves. No Django."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BOX_W, BOX_H, GAP_X, GAP_Y, PAD = 116, 40, 24, 18, 8
LONGEST_LABEL = 15
SWEEPS = 4

Tasks = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Box:
    """A task's place; x and y are its upper left corner."""

    id: str
    label: str
    full_label: str
    operator: str
    is_mapped: bool
    x: float
    y: float

    @property
    def middle_x(self) -> float:
        return self.x + BOX_W / 2

    @property
    def middle_y(self) -> float:
        return self.y + BOX_H / 2


@dataclass(frozen=True)
class Drawing:
    """Boxes, paths of the curves between them, and the size of it all."""

    boxes: list[Box]
    paths: list[str]
    width: float
    height: float
    box_width: int = BOX_W
    box_height: int = BOX_H


def topological(tasks: Tasks) -> list[str]:
    """Ids such that each task stands before what follows it; the order given where that leaves a choice."""
    layers = _layers(tasks)
    place = {task["id"]: number for number, task in enumerate(tasks)}
    return sorted(layers, key=lambda task_id: (layers[task_id], place[task_id]))


def draw(tasks: Tasks) -> Drawing:
    """The layered drawing; a graph with a cycle, which Airflow never sends, is drawn without that edge."""
    layers = _layers(tasks)
    by_layer = _ordered(tasks, layers)
    tallest = max((len(ids) for ids in by_layer), default=0)
    height = tallest * (BOX_H + GAP_Y) - GAP_Y + 2 * PAD
    by_id = {task["id"]: task for task in tasks}
    boxes = {}
    for column, ids in enumerate(by_layer):
        top = (height - (len(ids) * (BOX_H + GAP_Y) - GAP_Y)) / 2
        for row, task_id in enumerate(ids):
            x, y = PAD + column * (BOX_W + GAP_X), top + row * (BOX_H + GAP_Y)
            boxes[task_id] = _box(by_id[task_id], x, y)
    paths = [_curve(boxes[a], boxes[b]) for a, b in _edges(tasks)]
    width = len(by_layer) * (BOX_W + GAP_X) - GAP_X + 2 * PAD
    return Drawing(list(boxes.values()), paths, max(width, 0), max(height, 0))


def _box(task: Mapping[str, Any], x: float, y: float) -> Box:
    label = str(task.get("label") or task["id"])
    short = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 8]}…{label[-7:]}"
    return Box(task["id"], short, label, task.get("operator", ""), bool(task.get("is_mapped")), x, y)


def _edges(tasks: Tasks) -> list[tuple[str, str]]:
    known = {task["id"] for task in tasks}
    return [(task["id"], after) for task in tasks for after in task.get("downstream", []) if after in known]


def _layers(tasks: Tasks) -> dict[str, int]:
    """The longest way from a first task: its number of steps."""
    before = defaultdict(set)
    for a, b in _edges(tasks):
        before[b].add(a)
    layers: dict[str, int] = {}
    rest = [task["id"] for task in tasks]
    while rest:
        ready = [task_id for task_id in rest if before[task_id] <= layers.keys()] or rest[:1]
        for task_id in ready:
            layers[task_id] = 1 + max((layers.get(up, -1) for up in before[task_id]), default=-1)
        rest = [task_id for task_id in rest if task_id not in layers]
    return layers


def _ordered(tasks: Tasks, layers: Mapping[str, int]) -> list[list[str]]:
    """Layers with few crossings: each task near the mean place of its neighbours, in some sweeps."""
    by_layer: list[list[str]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for task in tasks:
        by_layer[layers[task["id"]]].append(task["id"])
    neighbours = defaultdict(list)
    for a, b in _edges(tasks):
        neighbours[a].append(b)
        neighbours[b].append(a)
    for sweep in range(SWEEPS):
        place = {task_id: row - len(ids) / 2 for ids in by_layer for row, task_id in enumerate(ids)}
        for ids in by_layer if sweep % 2 == 0 else reversed(by_layer):
            ids.sort(key=lambda task_id: _mean([place[n] for n in neighbours[task_id]], place[task_id]))
            place |= {task_id: row - len(ids) / 2 for row, task_id in enumerate(ids)}
    return by_layer


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _curve(a: Box, b: Box) -> str:
    x1, y1, x2, y2 = a.x + BOX_W, a.middle_y, b.x, b.middle_y
    bend = max((x2 - x1) / 2, GAP_X / 2)
    return f"M{x1:g},{y1:g} C{x1 + bend:g},{y1:g} {x2 - bend:g},{y2:g} {x2:g},{y2:g}"
