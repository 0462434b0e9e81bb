"""A job's result as its page draws it: rows in and kept, dropped by reason, where the table lies."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DRAWN = frozenset({"rows_in", "rows_kept", "dropped", "output", "n_files", "size_bytes", "columns"})


@dataclass(frozen=True)
class Dropped:
    """Rows that one reason dropped, as a share of all and of the reason that dropped most."""

    reason: str
    n_rows: int
    share: float
    length: float


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
        others=[(name, _words(value)) for name, value in result.items() if name not in DRAWN],
    )


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


def _words(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
