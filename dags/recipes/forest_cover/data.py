"""Rows of forest: from an answer or a file, what must hold of them, and those that were collected."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from dags.recipes.common import csv_lines, ledger
from dags.recipes.common.checks import Column, DataInvalid, Sound, records, require_columns, sort_out
from dags.recipes.common.ledger import Clean, Rejected
from dags.recipes.common.log import say
from dags.recipes.forest_cover import made_up

COLUMNS = made_up.HEADER.split(",")
TARGET = "Cover_Type"
TEXTS = ("Wilderness_Area", "Soil_Type")
MOST_REJECTED = 0.5  # share of a batch above which it is not these data

RULES = [
    Column("Elevation", "integer", low=-500, high=9_000),
    Column("Slope", "integer", low=0, high=90),
    Column("Horizontal_Distance_To_Hydrology", "integer", low=0, high=100_000),
    Column("Vertical_Distance_To_Hydrology", "integer", low=-5_000, high=5_000),
    Column("Horizontal_Distance_To_Roadways", "integer", low=0, high=100_000),
    Column("Hillshade_9am", "integer", low=0, high=255),
    Column("Hillshade_Noon", "integer", low=0, high=255),
    Column("Horizontal_Distance_To_Fire_Points", "integer", low=0, high=100_000),
    Column("Wilderness_Area"),
    Column("Soil_Type"),
    Column(TARGET, "integer", allowed=frozenset("0123456")),
]


@dataclass(frozen=True)
class Batch:
    """An answer of the service. rows: each as it came, usually a list of texts without names."""

    group: int
    number: int
    rows: Sequence[Any]


@dataclass(frozen=True)
class FromFile:
    """rows: as text, by their place in the file. cut: lines that are no rows of it."""

    rows: pd.DataFrame
    cut: list[Rejected]


def batch(content: Mapping[str, Any], *, group: int) -> Batch:
    """Raises DataInvalid for an answer of another shape, or of another group."""
    number, rows = content.get("batch_number"), content.get("data")
    if not isinstance(number, int) or isinstance(number, bool) or not isinstance(rows, list):
        there = ", ".join(sorted(map(str, content)))[:200] or "nothing"
        raise DataInvalid(
            f"The answer holds {there}; batch_number (a number) and data (a list) belong there."
        )
    if content.get("group_number") != group:
        raise DataInvalid(f"The answer is for group {content.get('group_number')!r}, not for group {group}.")
    if not rows:
        raise DataInvalid(f"Batch {number} of group {group} is empty.")
    return Batch(group, number, rows)


def sound(rows: Sequence[Any]) -> tuple[Sound, pd.DataFrame]:
    """Typed rows, those that do not fit, and all whole rows as they came.

    Raises DataInvalid when more than half do not fit: that is another table, and nothing of it is taken.
    """
    whole = {n: named for n, row in enumerate(rows) if (named := _named(row)) is not None}
    cut = [
        Rejected(n, f"the row has {_width(row)} of {len(COLUMNS)} values", json.dumps(row, default=str))
        for n, row in enumerate(rows)
        if n not in whole
    ]
    raw = pd.DataFrame(list(whole.values()), columns=COLUMNS, dtype=object)
    sorted_out = sort_out(raw, RULES)
    places = list(whole)
    unfit = [Rejected(places[one.position], one.reason, one.row) for one in sorted_out.rejected]
    rejected = sorted([*cut, *unfit], key=lambda one: one.position)
    if len(rejected) > MOST_REJECTED * len(rows):
        raise DataInvalid(
            f"{len(rejected):,} of {len(rows):,} rows are not of this table: the columns may be others."
            f" The first: {rejected[0].reason}."
        )
    return Sound(_typed(sorted_out.table), rejected), raw.loc[sorted_out.table.index]


def clean(table: pd.DataFrame) -> list[Clean]:
    """Rows to learn from, each named by the hash of all its values."""
    return [
        Clean(sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:32], row)
        for row in records(table)
    ]


def collected() -> pd.DataFrame:
    """Rows that were collected, in their order. Raises DataInvalid when there are none."""
    table = ledger.clean_rows("forest_cover")
    if table.empty:
        raise DataInvalid("Nothing has been collected yet: run forest_cover_load first.")
    return _typed(table[COLUMNS])


def read(data: bytes) -> FromFile:
    """A CSV file. Raises DataInvalid when it lacks columns."""
    lines = csv_lines.read(data)
    require_columns(pd.DataFrame(columns=lines.names), COLUMNS)
    rows = pd.DataFrame(lines.values(COLUMNS), columns=COLUMNS, index=list(lines.rows), dtype=object)
    return FromFile(rows, [Rejected(line.place, line.reason, line.line) for line in lines.cut])


def whole(found: FromFile) -> pd.DataFrame:
    """Typed rows. Raises DataInvalid when there are none, or more than half of them do not fit."""
    n_rows, places = len(found.rows) + len(found.cut), found.rows.index.tolist()
    if not n_rows:
        raise DataInvalid("The table holds no rows.")
    fitting = sort_out(found.rows, RULES)
    unfit = [replace(row, position=places[row.position]) for row in fitting.rejected]
    rejected = sorted([*found.cut, *unfit], key=lambda row: row.position)
    if len(rejected) > MOST_REJECTED * n_rows:
        raise DataInvalid(f"Most rows do not fit. The first: {rejected[0].reason}.")
    if rejected:
        say(f"{len(rejected):,} rows do not fit: they are left out. First: {rejected[0].reason}.")
    return _typed(fitting.table)


def generate(seed: int, n_rows: int = 6_000) -> bytes:
    """A CSV with the columns of the real file."""
    return ("\n".join(made_up.lines(seed, n_rows)) + "\n").encode()


def learnable(table: pd.DataFrame, is_held: np.ndarray) -> tuple[pd.DataFrame, str]:
    """Without rows of cover types that are held out alone, and a sentence on those.

    All others stay, however rare: a version that answers fewer cover types than the champion breaks callers.
    """
    lone = table[~table[TARGET].isin(table[TARGET][~is_held])][TARGET].value_counts()
    if lone.empty:
        return table, ""
    told = ", ".join(f"{value} ({n} rows)" for value, n in lone.sort_index().items())
    sentence = f"Cover types without a row to train on are left out: {told}."
    return table[~table[TARGET].isin(lone.index)].reset_index(drop=True), sentence


def _named(row: Any) -> dict[str, Any] | None:
    """By the order of the columns, or by the names that came along; None for part of a row."""
    if isinstance(row, Mapping):
        return {name: row[name] for name in COLUMNS} if set(COLUMNS) == row.keys() else None
    if isinstance(row, list) and len(row) == len(COLUMNS):
        return dict(zip(COLUMNS, row, strict=True))
    return None


def _width(row: Any) -> int:
    return (
        sum(name in row for name in COLUMNS)
        if isinstance(row, Mapping)
        else len(row)
        if isinstance(row, list)
        else 0
    )


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers, so that a row is the same row wherever it comes from."""
    kinds = {name: "int64" for name in COLUMNS if name not in TEXTS}
    return table[COLUMNS].astype(kinds).reset_index(drop=True)
