"""Names of tasks in little room: cut where they are alike, and what group a task is in. No Django."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile

CHARACTER_W = 6.8  # at 12 px, on average; capitals and wide scripts take more


def width(label: str) -> float:
    """About how wide it is drawn, in pixels."""
    return CHARACTER_W * sum(1.8 if ord(character) > 0x2E80 else 1 for character in label)


def group_of(task_id: str) -> str:
    """The group it is in, "" for none: Airflow puts its name before the task's own."""
    return task_id.rpartition(".")[0]


def groups_of(task_id: str) -> list[str]:
    """All groups that it is in, the outermost first."""
    parts = task_id.split(".")[:-1]
    return [".".join(parts[: depth + 1]) for depth in range(len(parts))]


def own_name(task_id: str, label: str) -> str:
    """Its name within its group; what its author called it, if that is another."""
    return label if label and label != task_id else task_id.rpartition(".")[2]


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


def counted(names: Iterable[str]) -> Counter[str]:
    """How many tasks each group holds, those of groups within it too."""
    return Counter(group for name in names for group in groups_of(name))
