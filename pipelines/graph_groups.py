"""Where tasks of groups stand in the drawing of a graph, so that a frame holds a group's tasks and no other.

Each group is laid out by itself and then is one tall item, in all layers from its first to its last, among
what stands beside it. All items of one level have one order from top to bottom, whatever their layers: so
distances between neighbours are all that limits where they stand. No Django.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines import labels

FRAME_PAD, LABEL_H, GAP = 10, 18, 16
NEST_PAD, MOST_PAD = 6, 21  # to the sides, where two frames may meet in the gap between layers
SWEEPS = 6

Way = tuple[str, str, int]  # from, to, layer
Item = str | Way


@dataclass
class _Node:
    """What keeps its shape: a task, the places of a line, or a group. offsets: from its middle, downwards."""

    offsets: dict[Item, float]
    first: int
    last: int
    height: float
    rank: float
    is_way: bool = False
    frames: dict[str, tuple[float, float]] = field(default_factory=dict)
    y: float = 0.0


@dataclass(frozen=True)
class Placed:
    """middles: of each item. frames: top and bottom of each group. All from the top of the drawing down."""

    middles: dict[Item, float]
    frames: dict[str, tuple[float, float]]


def placed(
    by_layer: Sequence[Sequence[Item]],
    near: Mapping[Item, Sequence[Item]],
    heights: Mapping[Item, float],
    known: labels.Groups,
) -> Placed:
    """by_layer: in an order with few crossings. near: what each item is joined to; ways are tuples."""
    ranks = {item: row - len(items) / 2 for items in by_layer for row, item in enumerate(items)}
    layers = {item: layer for layer, items in enumerate(by_layer) for item in items}
    inside: dict[str, dict[object, list[Item]]] = defaultdict(lambda: defaultdict(list))
    groups: dict[str, set[str]] = defaultdict(set)
    for item in ranks:
        path = _groups_of(item, known)
        for outer, inner in zip(["", *path], path, strict=False):
            groups[outer].add(inner)
        # The places of one line keep together.
        inside[path[-1] if path else ""][item[:2] if isinstance(item, tuple) else item].append(item)

    def of_group(name: str) -> _Node:
        nodes = [of_group(child) for child in sorted(groups[name])]
        nodes += [
            _Node(
                dict.fromkeys(items, 0.0),
                min(layers[item] for item in items),
                max(layers[item] for item in items),
                heights[items[0]],
                _mean([ranks[item] for item in items]),
                is_way=isinstance(items[0], tuple),
            )
            for items in inside[name].values()
        ]
        nodes.sort(key=lambda node: (node.rank, node.first))
        _settle(nodes, near)
        return _joined(name, nodes)

    whole = of_group("")
    top = -whole.height / 2
    middles = {item: offset - top for item, offset in whole.offsets.items()}
    return Placed(middles, {name: (up - top, down - top) for name, (up, down) in whole.frames.items()})


def side_pads(known: labels.Groups) -> dict[str, int]:
    """How far each group's frame stands out beside its tasks: further than those within it."""
    paths = {name: labels.groups_of(name, known) for name in known}
    depths = {
        name: max((len(path) - len(paths[name]) for path in paths.values() if name in path), default=0)
        for name in known
    }
    return {name: min(NEST_PAD * (depth + 1), MOST_PAD) for name, depth in depths.items()}


def _groups_of(item: Item, known: labels.Groups) -> list[str]:
    """Of a task; of a line between two the groups that both are in."""
    if not isinstance(item, tuple):
        return labels.groups_of(item, known)
    both = labels.groups_of(item[1], known)
    return [name for name in labels.groups_of(item[0], known) if name in both]


def _settle(nodes: Sequence[_Node], near: Mapping[Item, Sequence[Item]]) -> None:
    """Each as near to what it is joined to as the others let it."""
    _move(nodes, [0.0] * len(nodes))
    own = {item: node for node in nodes for item in node.offsets}
    for _sweep in range(SWEEPS):
        wanted = []
        for node in nodes:
            pulls = [
                own[other].y + own[other].offsets[other] - offset
                for item, offset in node.offsets.items()
                for other in near.get(item, ())
                if own.get(other, node) is not node
            ]
            wanted.append(_mean(pulls) if pulls else node.y)
        _move(nodes, wanted)


def _move(nodes: Sequence[_Node], wanted: Sequence[float]) -> None:
    """None over another. Pushed down from above, and up from below: half-way between holds as well."""
    down = _pushed(nodes, wanted)
    up = _pushed(nodes[::-1], [-at for at in wanted[::-1]])[::-1]
    for node, low, high in zip(nodes, down, up, strict=True):
        node.y = (low - high) / 2


def _pushed(nodes: Sequence[_Node], wanted: Sequence[float]) -> list[float]:
    last: dict[int, tuple[float, bool]] = {}  # by layer: how far down it is taken, and whether by a line
    found = []
    for node, at in zip(nodes, wanted, strict=True):
        for layer in range(node.first, node.last + 1):
            bottom, is_way = last.get(layer, (float("-inf"), False))
            at = max(at, bottom + node.height / 2 + (0 if is_way and node.is_way else GAP))
        last |= dict.fromkeys(range(node.first, node.last + 1), (at + node.height / 2, node.is_way))
        found.append(at)
    return found


def _joined(name: str, nodes: Sequence[_Node]) -> _Node:
    """Of what is in a group, the group with its frame; without a name all there is."""
    pad, head = (FRAME_PAD, LABEL_H) if name else (0, 0)
    top = min((node.y - node.height / 2 for node in nodes), default=0.0) - pad - head
    bottom = max((node.y + node.height / 2 for node in nodes), default=0.0) + pad
    middle, height = (top + bottom) / 2, bottom - top
    shift = [(node, node.y - middle) for node in nodes]
    frames = {inner: (up + by, down + by) for node, by in shift for inner, (up, down) in node.frames.items()}
    return _Node(
        {item: offset + by for node, by in shift for item, offset in node.offsets.items()},
        min((node.first for node in nodes), default=0),
        max((node.last for node in nodes), default=0),
        height,
        _mean([node.rank for node in nodes]),
        frames=frames | ({name: (-height / 2, height / 2)} if name else {}),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
