"""What changed between the `before` and the `after` of an entry, value by value."""

from dataclasses import dataclass
from typing import Any

ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One value: its dotted name, and what it was before and after; None where there was none."""

    name: str
    before: Any
    after: Any
    kind: str

    @property
    def is_change(self) -> bool:
        """Whether the value is another one now, or new, or gone."""
        return self.kind != "same"


def changes(before: dict | None, after: dict | None) -> list[Change]:
    """Every value of either side, in the order of their names."""
    old, new = dict(_flat(before or {})), dict(_flat(after or {}))
    return [_change(name, old.get(name, ABSENT), new.get(name, ABSENT)) for name in sorted(old | new)]


def _change(name: str, before: Any, after: Any) -> Change:
    if before is ABSENT:
        return Change(name, None, after, "added")
    if after is ABSENT:
        return Change(name, before, None, "removed")
    return Change(name, before, after, "same" if before == after else "changed")


def _flat(values: dict, prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            pairs += _flat(value, f"{name}.")
        else:
            pairs.append((name, _plain(value)))
    return pairs


def _plain(value: Any) -> Any:
    """A list reads better as its members, one after the other."""
    return ", ".join(str(member) for member in value) if isinstance(value, list) else value
