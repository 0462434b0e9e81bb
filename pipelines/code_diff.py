"""What changed from one version of a file to the next, line by line. No Django."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

LONGEST: Final = 1000  # lines of either: the comparison takes time with their product
AROUND: Final = 3  # lines that stay, shown beside those that changed


@dataclass(frozen=True)
class Line:
    """kind: `same`, `added`, `removed`, or `gap` for lines that are left out."""

    kind: str
    text: str

    @property
    def mark(self) -> str:
        """As such comparisons write it."""
        return {"added": "+", "removed": "-", "gap": "…"}.get(self.kind, " ")


@dataclass(frozen=True)
class Diff:
    """lines: empty where nothing changed, or where the files are too long to compare."""

    lines: list[Line]
    is_too_long: bool = False

    @property
    def n_added(self) -> int:
        """Lines that are new."""
        return sum(line.kind == "added" for line in self.lines)

    @property
    def n_removed(self) -> int:
        """Lines that are gone."""
        return sum(line.kind == "removed" for line in self.lines)


@functools.lru_cache(maxsize=32)
def between(before: str, after: str) -> Diff:
    """From one text to the other; remembered, as two versions never change."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > LONGEST:
        return Diff([], is_too_long=True)
    return Diff(list(_lines(old, new)))


def _lines(old: list[str], new: list[str]) -> Iterator[Line]:
    # `autojunk`: lines that come again and again are no anchors. With them time grows with the third power.
    for number, group in enumerate(SequenceMatcher(None, old, new).get_grouped_opcodes(AROUND)):
        if number:
            yield Line("gap", "")
        for tag, a, b, c, d in group:
            if tag == "equal":
                yield from (Line("same", text) for text in old[a:b])
            else:
                yield from (Line("removed", text) for text in old[a:b])
                yield from (Line("added", text) for text in new[c:d])
