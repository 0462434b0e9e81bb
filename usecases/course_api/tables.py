"""The rows that are given away: from the files, else generated ones with the same columns."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dags.recipes.common import csv_lines
from dags.recipes.forest_cover import made_up as forest_cover
from dags.recipes.real_estate import made_up as real_estate

log = logging.getLogger(__name__)

FOREST_COVER = "covertype_course_variant.csv"
REAL_ESTATE = "realtor_head_12886.csv"
SEED = 42


@dataclass(frozen=True)
class Table:
    """Rows as lines of CSV, which take a tenth of the memory of lists. source: `file` or `synthetic`."""

    names: list[str]
    lines: list[str]
    source: str

    def rows(self, first: int, last: int) -> list[list[str]]:
        """last is not included. A row that was cut has fewer values than there are names."""
        return [csv_lines.cells(line) for line in self.lines[first:last]]


def forest_cover_table(folder: Path | None) -> Table:
    return _table(folder, FOREST_COVER, forest_cover.lines)


def real_estate_table(folder: Path | None) -> Table:
    return _table(folder, REAL_ESTATE, real_estate.lines)


def _table(folder: Path | None, name: str, generate: Callable[[int], Iterable[str]]) -> Table:
    path = folder / name if folder else None
    source, found = "synthetic", []
    if path is not None and path.is_file():
        found = _lines(path)
        if len(found) > 1 and any(csv_lines.cells(found[0])):
            source = "file"
        else:
            log.warning("%s holds no rows: rows with the same columns are generated.", path)
    header, *lines = found if source == "file" else generate(SEED)
    return Table(csv_lines.cells(header), lines, source)


def _lines(path: Path) -> list[str]:
    """Ended by what ends a line of a file, not by what Unicode counts as such."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return [line.rstrip("\n") for line in file]
