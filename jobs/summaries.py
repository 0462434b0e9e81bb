"""A job's result as its page draws it: rows in and kept, dropped by reason, where the table lies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.lib.times import moment

DRAWN = frozenset(
    {
        "rows_in",
        "rows_kept",
        "dropped",
        "output",
        "n_files",
        "size_bytes",
        "columns",
        "tables",
        "metrics",  # a table holds them
        "baseline",
        "mlflow_run_id",
    }
)


@dataclass(frozen=True)
class Dropped:
    """Rows that one reason dropped, as a share of all and of the reason that dropped most."""

    reason: str
    n_rows: int
    share: float
    length: float


@dataclass(frozen=True)
class Cell:
    """A value of a table. kind: text, count, number or share. length: of its bar, 0..1; None without one."""

    kind: str
    value: Any
    length: float | None = None


@dataclass(frozen=True)
class Table:
    """headings: name and kind of each column, and whether bars stand beside it."""

    title: str
    headings: list[tuple[str, str, bool]]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Summary:
    """What applications agree to call the same, and `others`: name and value of the rest."""

    rows_in: int | None
    rows_kept: int | None
    share_kept: float
    dropped: list[Dropped]
    output: str
    n_files: int | None
    size_bytes: int | None
    columns: list[dict[str, str]]
    tables: list[Table]
    mlflow_run_id: str
    others: list[tuple[str, str]]


def summary(result: Mapping[str, Any]) -> Summary:
    """Of what an application wrote in the end."""
    rows_in, rows_kept = result.get("rows_in"), result.get("rows_kept")
    return Summary(
        rows_in=rows_in,
        rows_kept=rows_kept,
        share_kept=rows_kept / rows_in if rows_in and rows_kept is not None else 0.0,
        dropped=_dropped(result.get("dropped") or {}, rows_in or 0),
        output=result.get("output", ""),
        n_files=result.get("n_files"),
        size_bytes=result.get("size_bytes"),
        columns=result.get("columns") or [],
        tables=[_table(table) for table in result.get("tables") or []],
        mlflow_run_id=result.get("mlflow_run_id", ""),
        others=[
            (name.replace("_", " "), _words(value)) for name, value in result.items() if name not in DRAWN
        ],
    )


@dataclass(frozen=True)
class Stream:
    """How a streaming job fares. at: when its driver told so. rates: rows a second, oldest first.

    queries: a dict each, with `watermark` as a moment.
    """

    at: datetime | None
    queries: list[dict[str, Any]]
    rates: list[float]

    @property
    def refused(self) -> int | None:
        """Messages that are no trips; None for a driver that does not tell them."""
        told = [one["refused"] for one in self.queries if "refused" in one]
        return sum(told) if told else None

    @property
    def main(self) -> dict[str, Any]:
        """The query that counts."""
        return next((one for one in self.queries if one["name"] == "windows"), {})


def stream(progress: Mapping[str, Any]) -> Stream:
    """Of what a streaming application told last."""
    queries = [{**one, "watermark": _watermark(one)} for one in progress.get("queries", [])]
    rates = [float(one["rows_per_s"]) for one in progress.get("history", [])]
    return Stream(moment(progress.get("at")), queries, rates)


def _watermark(query: Mapping[str, Any]) -> datetime | None:
    """None before the first event: Spark says 1970 then."""
    found = moment(query.get("watermark"), is_planned=True)
    return found if found is not None and found.timestamp() > 0 else None


def _dropped(counts: Mapping[str, int], rows_in: int) -> list[Dropped]:
    """The most first: the database does not keep the order in which the reasons were asked."""
    most = max(counts.values(), default=0)
    return [
        Dropped(
            reason.replace("_", " "),
            n_rows,
            n_rows / rows_in if rows_in else 0.0,
            n_rows / most if most else 0.0,
        )
        for reason, n_rows in sorted(counts.items(), key=lambda one: -one[1])
    ]


def _table(given: Mapping[str, Any]) -> Table:
    """As `running.table` made it; a bar for each value of the column that is drawn, the greatest full."""
    names = [column["name"] for column in given["columns"]]
    kinds = [column["kind"] for column in given["columns"]]
    drawn = names.index(given["drawn"]) if given["drawn"] in names else None
    values = [row[drawn] for row in given["rows"]] if drawn is not None else []
    most = max((value for value in values if value is not None), default=0)

    def cell(place: int, value: Any) -> Cell:
        if place != drawn:
            return Cell(kinds[place], value)
        return Cell(kinds[place], value, value / most if value is not None and most > 0 else 0.0)

    return Table(
        title=given["title"],
        headings=[
            (name.replace("_", " "), kind, place == drawn)
            for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
        ],
        rows=[[cell(place, value) for place, value in enumerate(row)] for row in given["rows"]],
    )


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
