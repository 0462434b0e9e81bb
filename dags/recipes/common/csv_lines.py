"""CSV of which each line is a row: a quote that is never closed spoils its own line and no other."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """A line with more or fewer values than there are names. place: among the rows, from 0."""

    place: int
    reason: str
    line: str


@dataclass(frozen=True)
class Lines:
    """names: none for an empty file. rows: by their place, from 0, as many values each as there are names."""

    names: list[str]
    rows: dict[int, list[str]]
    cut: list[Cut]

    def values(self, names: Sequence[str]) -> list[list[str]]:
        """Of each row those under these names, which are there; of two columns of one name the first."""
        places = [self.names.index(name) for name in names]
        return [[row[place] for place in places] for row in self.rows.values()]


def read(raw: bytes) -> Lines:
    """Lines as a file has them, without blank ones; what is no UTF-8 becomes U+FFFD."""
    text = io.StringIO(raw.decode("utf-8-sig", errors="replace"), newline=None)
    lines = [line.rstrip("\n") for line in text if line.strip()]
    names = [name.strip() for name in cells(lines[0]) or [""]] if lines else []
    rows, cut = {}, []
    for place, line in enumerate(lines[1:]):
        found = cells(line)
        if len(found) == len(names):
            rows[place] = found
        else:
            cut.append(Cut(place, f"{len(found)} values instead of {len(names)}", line))
    return Lines(names, rows, cut)


def cells(line: str) -> list[str]:
    """The values of one line; none where one is longer than the reader takes."""
    try:
        return next(csv.reader([line]))
    except csv.Error:
        return []
