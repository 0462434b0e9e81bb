"""Names of tasks in little room: cut where they are alike, and what groups a task is in. No Django.

Airflow puts a group's name before the task's own, with a dot between, unless its author says that it should
not (`prefix_group_id=False`); and a task may have dots in its own name. So what is in a group is what Airflow
told (`details`), and a name tells only where it told nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

CHARACTER_W = 6.8  # at 12 px, on average; capitals and wide scripts take more


def width(label: str) -> float:
    """About how wide it is drawn, in pixels."""
    return CHARACTER_W * sum(1.8 if ord(character) > 0x2E80 else 1 for character in label)


def may_be_groups(task_id: str) -> list[str]:
    """What groups it is in if each dot stands after the name of one, the outermost first."""
    parts = task_id.split(".")[:-1]
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


class Groups(frozenset[str]):
    """The names of a pipeline's groups. paths: of each task and group, as far as Airflow told, those that it
    is in, the outermost first.
    """

    paths: Mapping[str, Sequence[str]]


def groups_in(graph: Iterable[Mapping[str, Any]], also: Iterable[str] = ()) -> Groups:
    """The groups of a pipeline. also: ids of tasks that only older runs have.

    Of a task of which Airflow told no groups (`also`, and rows of an earlier release) its name tells.
    """
    told = {task["id"]: task.get("groups") for task in graph}
    sure = {group for groups in told.values() for group in groups or ()}
    asked = {name for one, groups in told.items() if groups is not None for name in may_be_groups(one)}
    untold = [one for one in {*told, *also} if told.get(one) is None]
    found = Groups(sure | ({name for one in untold for name in may_be_groups(one)} - asked))
    inside = {group: path[:depth] for path in told.values() if path for depth, group in enumerate(path)}
    found.paths = {**inside, **{one: path for one, path in told.items() if path is not None}}
    return found


def groups_of(name: str, groups: Groups) -> list[str]:
    """Those that a task or a group is in, the outermost first."""
    path = groups.paths.get(name)
    return [one for one in may_be_groups(name) if one in groups] if path is None else list(path)


def own_name(task_id: str, label: str, groups: Groups) -> str:
    """Its name within its group; what its author called it, if that is another."""
    if label and label != task_id:
        return label
    inside = groups_of(task_id, groups)
    return task_id.removeprefix(f"{inside[-1]}.") if inside else task_id


def shortened(labels: Sequence[str], most: int) -> list[str]:
    """None longer than `most` characters, and those that differ told apart as far as that goes.

    Cut in the middle, unless two would then look alike: those keep the part in which they differ.
    """
    short = [_middle_cut(label, most) for label in labels]
    alike = defaultdict(set)
    for label, cut in zip(labels, short, strict=True):
        alike[cut].add(label)
    cuts: dict[str, str] = {}
    for same in alike.values():
        if len(same) > 1:
            cuts |= _by_difference(sorted(same), most)
    return [cuts.get(label, cut) for label, cut in zip(labels, short, strict=True)]


def _middle_cut(label: str, most: int) -> str:
    if len(label) <= most:
        return label
    head = most // 2
    return f"{label[:head]}…{label[head + 1 - most :]}"


def _by_difference(labels: Sequence[str], most: int) -> dict[str, str]:
    start = _n_alike(labels)
    end = _n_alike([label[: start - 1 : -1] if start else label[::-1] for label in labels])
    return {label: _around(label, start, end, most) for label in labels}


def _n_alike(labels: Sequence[str]) -> int:
    """How many characters all begin with."""
    return sum(1 for _column in takewhile(lambda column: len(set(column)) == 1, zip(*labels, strict=False)))


def _around(label: str, start: int, end: int, most: int) -> str:
    """What differs, and as much on both sides as there is room for."""
    core = label[start : len(label) - end]
    room = most - len(core) - 2
    if room < 2:
        return f"…{_middle_cut(core, most - 2)}…"
    head = min(room // 2, start)
    tail = min(room - head, end)
    before = label[:start] if head >= start else f"{label[:head]}…"
    after = label[len(label) - end :] if tail >= end else f"…{label[len(label) - tail :]}"
    return before + core + after


def counted(names: Iterable[str], groups: Groups) -> Counter[str]:
    """How many tasks each group holds, those of groups within it too."""
    return Counter(group for name in names for group in groups_of(name, groups))
