"""Drawing a pipeline's graph: tasks in layers from left to right, as boxes and curves. No Django.

An edge that passes layers gets a place in each of them (a `Way`), so that no line runs behind a box.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from pipelines import graph_groups, labels
from pipelines.graph_groups import Item as _Item

BOX_H, GAP_X, GAP_Y, PAD = 36, 44, 16, 8
NARROWEST, WIDEST = 84, 264
LONGEST_LABEL = 32
LONGEST_EDGE_LABEL = 24
EDGE_LABEL_W, EDGE_LABEL_PAD = (
    0.95,
    28,
)  # its letters against those of a box; what of the curve shows beside it
ROOM_FOR_N = " × 0000"  # behind the name of a mapped task
MARKS = {"setup": "↗ ", "teardown": "↘ "}  # before the name of such a task, as on Airflow's pages
WAY_H = 10  # of a line between two boxes
SWEEPS = 6

Tasks = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Box:
    """A task's place, or a folded group's, which holds `n_tasks`; x and y are its upper left corner.

    role: `setup`, `teardown` or "".
    """

    id: str
    label: str
    full_label: str
    operator: str
    is_mapped: bool
    n_tasks: int
    x: float
    y: float
    width: float
    role: str = ""

    @property
    def middle_x(self) -> float:
        return self.x + self.width / 2

    @property
    def middle_y(self) -> float:
        return self.y + BOX_H / 2


@dataclass(frozen=True)
class Frame:
    """Around the tasks of a group, with its name in the upper left."""

    id: str
    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class EdgeLabel:
    """What the author wrote on the way between two tasks, and its middle."""

    label: str
    full_label: str
    x: float
    y: float


@dataclass(frozen=True)
class Drawing:
    """Boxes, paths of the curves between them, frames (the outer ones first), and the size of it all.

    side_paths: from a setup to its teardown, which waits for what lies between and not for the setup alone.
    """

    boxes: list[Box]
    paths: list[str]
    width: float
    height: float
    frames: list[Frame]
    side_paths: list[str] = field(default_factory=list)
    edge_labels: list[EdgeLabel] = field(default_factory=list)
    box_height: int = BOX_H


def topological(tasks: Tasks) -> list[str]:
    """Ids such that each task stands before what follows it; the order given where that leaves a choice."""
    layers = _layers(tasks)
    place = {task["id"]: number for number, task in enumerate(tasks)}
    return sorted(layers, key=lambda task_id: (layers[task_id], place[task_id]))


def folded(tasks: Tasks, groups: Collection[str]) -> list[dict[str, Any]]:
    """The same graph with each of these groups as one task, which has `n_tasks`."""
    there = labels.groups_in(tasks)
    inside = {
        task["id"]: next((one for one in labels.groups_of(task["id"], there) if one in groups), task["id"])
        for task in tasks
    }
    known: dict[str, dict[str, Any]] = {}
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for task in tasks:
        name = inside[task["id"]]
        after = [inside[one] for one in task.get("downstream", []) if one in inside]
        drawn = task if name == task["id"] else _group(name, task)
        one = known.setdefault(name, {**drawn, "downstream": [], "edge_labels": {}})
        one["downstream"] = list(
            dict.fromkeys([*one["downstream"], *(each for each in after if each != name)])
        )
        one["n_tasks"] = one.get("n_tasks", 0) + 1
        for (_own, then), text in _edge_texts([task]).items():
            texts[name, inside.get(then, then)].append(text)
    for (name, then), found in texts.items():
        known[name]["edge_labels"][then] = " / ".join(dict.fromkeys(found))
    return list(known.values())


def _edge_texts(tasks: Tasks) -> dict[tuple[str, str], str]:
    """What is written on which edges."""
    return {
        (task["id"], then): text for task in tasks for then, text in (task.get("edge_labels") or {}).items()
    }


def _group(name: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """task: one of those that it holds."""
    told = task.get("groups")
    outer = None if told is None else told[: told.index(name)]
    drawn = {"id": name, "label": name, "operator": "", "is_mapped": False, "downstream": []}
    return {**drawn, "groups": outer, "is_group": True}


def draw(tasks: Tasks) -> Drawing:
    """The layered drawing; a graph with a cycle, which Airflow never sends, is drawn without that edge."""
    layers = _layers(tasks)
    ways = {edge: _way(edge, layers) for edge in _edges(tasks) if layers[edge[0]] < layers[edge[1]]}
    by_layer = _ordered(tasks, layers, ways)
    known = labels.groups_in(tasks)
    pads = graph_groups.side_pads(known)
    margin = PAD + max(pads.values(), default=0)
    placed = _grouped(by_layer, ways, known) if known else graph_groups.Placed(_middles(by_layer, ways), {})
    middles = placed.middles
    names = _names(tasks, known)
    roles = {task["id"]: task.get("role") or "" for task in tasks}
    room = {task["id"]: names[task["id"]] + (ROOM_FOR_N if task.get("is_mapped") else "") for task in tasks}
    widths = [_width_of([item for item in items if isinstance(item, str)], room) for items in by_layer]
    texts = {edge: text for edge, text in _edge_texts(tasks).items() if edge in ways}
    short = dict(zip(texts, labels.shortened(list(texts.values()), LONGEST_EDGE_LABEL), strict=True))
    gaps = [GAP_X] * len(widths)
    for (a, _b), text in short.items():
        gaps[layers[a]] = max(gaps[layers[a]], round(labels.width(text) * EDGE_LABEL_W) + EDGE_LABEL_PAD)
    lefts = [margin + sum(widths[:place]) + sum(gaps[:place]) for place in range(len(widths))]
    by_id = {task["id"]: task for task in tasks}
    boxes: dict[_Item, Box] = {
        item: _box(by_id[item], names[item], lefts[layer], middles[item] - BOX_H / 2, widths[layer])
        for layer, items in enumerate(by_layer)
        for item in items
        if isinstance(item, str)
    }
    paths = {edge: _path(way, boxes, middles, lefts, widths) for edge, way in ways.items()}
    beside = {(a, b) for a, b in paths if (roles[a], roles[b]) == ("setup", "teardown")}
    width = lefts[-1] + widths[-1] + margin if lefts else 0
    bottoms = [middle + BOX_H / 2 for middle in middles.values()]
    bottoms += [bottom for _top, bottom in placed.frames.values()]
    outer_first = sorted(placed.frames, key=lambda name: (len(labels.groups_of(name, known)), name))
    frames = [_frame(name, placed.frames[name], pads[name], boxes, known) for name in outer_first]
    return Drawing(
        list(boxes.values()),
        [path for edge, path in paths.items() if edge not in beside],
        width,
        max(bottoms, default=-PAD) + PAD,
        frames,
        [path for edge, path in paths.items() if edge in beside],
        [
            _edge_label(short[edge], text, ways[edge], boxes, middles, gaps[layers[edge[0]]])
            for edge, text in texts.items()
        ],
    )


def _edge_label(
    label: str,
    whole: str,
    way: Sequence[_Item],
    boxes: Mapping[_Item, Box],
    middles: Mapping[_Item, float],
    gap: float,
) -> EdgeLabel:
    """In the middle of the curve to the next layer."""
    start = boxes[way[0]]
    return EdgeLabel(label, whole, start.x + start.width + gap / 2, (middles[way[0]] + middles[way[1]]) / 2)


def _grouped(
    by_layer: Sequence[Sequence[_Item]], ways: Mapping[Any, list[_Item]], groups: labels.Groups
) -> graph_groups.Placed:
    before, after = _neighbours(ways)
    items = [item for items in by_layer for item in items]
    near = {item: [*before[item], *after[item]] for item in items}
    found = graph_groups.placed(by_layer, near, {item: _height(item) for item in items}, groups)
    middles = {item: round(middle + PAD, 1) for item, middle in found.middles.items()}
    frames = {name: (round(top + PAD, 1), round(down + PAD, 1)) for name, (top, down) in found.frames.items()}
    return graph_groups.Placed(middles, frames)


def _frame(
    name: str, ends: tuple[float, float], pad: int, boxes: Mapping[_Item, Box], known: labels.Groups
) -> Frame:
    inside = [box for box in boxes.values() if name in labels.groups_of(box.id, known)]
    left = min(box.x for box in inside) - pad
    right = max(box.x + box.width for box in inside) + pad
    [label] = labels.shortened([labels.own_name(name, "", known)], LONGEST_LABEL)
    return Frame(name, label, left, ends[0], right - left, ends[1] - ends[0])


def _names(tasks: Tasks, groups: labels.Groups) -> dict[str, str]:
    whole = [labels.own_name(task["id"], str(task.get("label") or ""), groups) for task in tasks]
    short = labels.shortened(whole, LONGEST_LABEL)
    return {
        task["id"]: MARKS.get(task.get("role") or "", "") + name
        for task, name in zip(tasks, short, strict=True)
    }


def _width_of(ids: Sequence[str], names: Mapping[str, str]) -> float:
    """Of a layer: its boxes are equally wide."""
    longest = max((labels.width(names[task_id]) for task_id in ids), default=0.0)
    return round(min(max(longest * 1.08 + 40, NARROWEST), WIDEST))


def _box(task: Mapping[str, Any], name: str, x: float, y: float, width: float) -> Box:
    whole = str(task.get("label") or task["id"])
    full = whole if whole == task["id"] else f"{whole} ({task['id']})"
    n_tasks = task.get("n_tasks", 0) if task.get("is_group") else 0
    return Box(
        task["id"],
        name,
        full,
        task.get("operator", ""),
        bool(task.get("is_mapped")),
        n_tasks,
        x,
        y,
        width,
        task.get("role") or "",
    )


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


def _way(edge: tuple[str, str], layers: Mapping[str, int]) -> list[_Item]:
    """Both ends, and between them a place in each layer that the edge passes."""
    a, b = edge
    return [a, *((a, b, layer) for layer in range(layers[a] + 1, layers[b])), b]


def _ordered(tasks: Tasks, layers: Mapping[str, int], ways: Mapping[Any, list[_Item]]) -> list[list[_Item]]:
    """Layers with few crossings: each item near the mean place of its neighbours, in some sweeps."""
    by_layer: list[list[_Item]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for task in tasks:
        by_layer[layers[task["id"]]].append(task["id"])
    for way in ways.values():
        for item in way[1:-1]:
            by_layer[item[2]].append(item)  # type: ignore[index]  # what is between two ends is a Way
    before, after = _neighbours(ways)
    for sweep in range(SWEEPS):
        near = before if sweep % 2 == 0 else after
        place = {item: row - len(items) / 2 for items in by_layer for row, item in enumerate(items)}
        for items in by_layer if sweep % 2 == 0 else reversed(by_layer):
            items.sort(key=lambda item: _mean([place[one] for one in near[item]], place[item]))
            place |= {item: row - len(items) / 2 for row, item in enumerate(items)}
    return by_layer


def _neighbours(ways: Mapping[Any, list[_Item]]) -> tuple[dict[_Item, list[_Item]], dict[_Item, list[_Item]]]:
    before, after = defaultdict(list), defaultdict(list)
    for way in ways.values():
        for a, b in pairwise(way):
            after[a].append(b)
            before[b].append(a)
    return before, after


def _middles(by_layer: Sequence[Sequence[_Item]], ways: Mapping[Any, list[_Item]]) -> dict[_Item, float]:
    """How far down each item's middle is: in its layer's order, as near to its neighbours as that goes."""
    before, after = _neighbours(ways)
    middles: dict[_Item, float] = {}
    for items in by_layer:
        middles |= _stacked(items, dict.fromkeys(items, 0.0))
    for sweep in range(SWEEPS):
        near = before if sweep % 2 == 0 else after
        for items in by_layer if sweep % 2 == 0 else reversed(by_layer):
            wanted = {item: _mean([middles[one] for one in near[item]], middles[item]) for item in items}
            middles |= _stacked(items, wanted)
    top = min((middle - _height(item) / 2 for item, middle in middles.items()), default=0.0)
    return {item: round(middle - top + PAD, 1) for item, middle in middles.items()}


def _height(item: _Item) -> int:
    return BOX_H if isinstance(item, str) else WAY_H


def _stacked(items: Sequence[_Item], wanted: Mapping[_Item, float]) -> dict[_Item, float]:
    """None over another, and together no further down than up from where they want to be."""
    placed: dict[_Item, float] = {}
    bottom = float("-inf")
    before: _Item | None = None
    for item in items:
        half = _height(item) / 2
        is_beside = isinstance(before, tuple) and isinstance(item, tuple)
        placed[item] = max(wanted[item], bottom + (0 if is_beside else GAP_Y) + half)
        bottom = placed[item] + half
        before = item
    shift = _mean([wanted[item] - middle for item, middle in placed.items()], 0.0)
    return {item: middle + shift for item, middle in placed.items()}


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _path(
    way: Sequence[_Item],
    boxes: Mapping[_Item, Box],
    middles: Mapping[_Item, float],
    lefts: Sequence[float],
    widths: Sequence[float],
) -> str:
    """Curves in the gaps between layers, straight through the layers that it passes."""
    first, last = boxes[way[0]], boxes[way[-1]]
    x, y = first.x + first.width, middles[way[0]]
    parts = [f"M{x:g},{y:g}"]
    for item in way[1:]:
        to = last.x if isinstance(item, str) else lefts[item[2]]
        half = (to - x) / 2
        down = middles[item]
        parts.append(f"C{x + half:g},{y:g} {x + half:g},{down:g} {to:g},{down:g}")
        x, y = to, down
        if not isinstance(item, str):
            x += widths[item[2]]
            parts.append(f"H{x:g}")
    return " ".join(parts)
