"""A job's result as its page draws it: rows in and kept, dropped by reason, where the table lies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, NotRequired, TypedDict

import msgspec

from core.lib.times import moment

HELD_BY_A_TABLE = frozenset({"metrics", "baseline"})
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Column(TypedDict):
    """Of what was written."""

    name: str
    type: str


class Heading(TypedDict):
    """Of a table of the result. kind: text, count, number or share."""

    name: str
    kind: str


class Given(TypedDict):
    """A table as `running.table` makes it. drawn: the column whose values get bars."""

    title: str
    columns: list[Heading]
    rows: list[list[Any]]
    drawn: NotRequired[str]


# What applications agree to call the same, and its shape there: what has another is shown as it is.
AGREED: dict[str, Any] = {
    "rows_in": Count,
    "rows_kept": Count,
    "dropped": dict[str, Count],
    "output": str,
    "n_files": Count,
    "size_bytes": Count,
    "columns": list[Column],
    "tables": list[Given],
    "mlflow_run_id": Annotated[str, msgspec.Meta(pattern="^[^/]*$")],  # as an address carries it
}


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
    agreed = _agreed(result)
    rows_in, rows_kept = agreed.get("rows_in"), agreed.get("rows_kept")
    return Summary(
        rows_in=rows_in,
        rows_kept=rows_kept,
        share_kept=rows_kept / rows_in if rows_in and rows_kept is not None else 0.0,
        dropped=_dropped(agreed.get("dropped", {}), rows_in or 0),
        output=agreed.get("output", ""),
        n_files=agreed.get("n_files"),
        size_bytes=agreed.get("size_bytes"),
        columns=agreed.get("columns", []),
        tables=[_table(table) for table in agreed.get("tables", [])],
        mlflow_run_id=agreed.get("mlflow_run_id", ""),
        others=[
            (name.replace("_", " "), _words(value))
            for name, value in result.items()
            if name not in agreed and name not in HELD_BY_A_TABLE
        ],
    )


def _agreed(result: Mapping[str, Any]) -> dict[str, Any]:
    """What has the shape that was agreed on."""
    found = {}
    for name in AGREED.keys() & result.keys():
        try:
            found[name] = msgspec.convert(result[name], AGREED[name])
        except msgspec.ValidationError:
            continue
    if any(len(row) != len(table["columns"]) for table in found.get("tables", []) for row in table["rows"]):
        del found["tables"]
    return found


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


def _table(given: Given) -> Table:
    """A bar for each value of the column that is drawn, the greatest full; what is no number is text."""
    names = [column["name"] for column in given["columns"]]
    kinds = [column["kind"] for column in given["columns"]]
    drawn = names.index(given["drawn"]) if given.get("drawn") in names else None
    values = [row[drawn] for row in given["rows"]] if drawn is not None else []
    most = max((value for value in values if _is_number(value)), default=0)

    def cell(place: int, value: Any) -> Cell:
        kind = kinds[place] if value is None or _is_number(value) else "text"
        if place != drawn:
            return Cell(kind, value)
        return Cell(kind, value, value / most if _is_number(value) and most > 0 else 0.0)

    return Table(
        title=given["title"],
        headings=[
            (name.replace("_", " "), kind, place == drawn)
            for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
        ],
        rows=[[cell(place, value) for place, value in enumerate(row)] for row in given["rows"]],
    )


def _is_number(value: Any) -> bool:
    """One that can be drawn: JSON's whole numbers have thousands of digits if need be."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, float) or (is_whole and abs(value) < 2**63)


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
