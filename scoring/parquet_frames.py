"""What passes between who wants a Parquet file read and the child that reads it: a length and a message."""

from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

LENGTH_BYTES = 4

Kind = Literal["integer", "number", "boolean", "text", "time", "missing", "other"]


class Column(Struct, frozen=True):
    """kind: "missing" for a column of no type, whose every value is missing, as data frames write them.

    type: in Arrow's words, of the values. physical: how Parquet stores it, such as INT96; "" when nested.

    is_utc: whether a time is a moment, as Parquet says it; else it is what a clock on a wall shows.
    """

    name: str
    kind: Kind
    type: str
    physical: str = ""
    is_utc: bool = False


class Table(Struct, frozen=True):
    """What a file's metadata say."""

    n_rows: int
    columns: list[Column]


class Answer(Struct, frozen=True, omit_defaults=True):
    """One frame. refused: why there is no more. rows_at: number of the first of the rows."""

    refused: str = ""
    table: Table | None = None
    rows_at: int = 0
    columns: list[list[Any]] | None = None


class Refused(ValueError):
    """The file is not read, or no further; the text says why."""

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path
