"""The database of the use cases, as pipelines meet it: plain SQL, each write of a step in one transaction.

The tables are made by `usecases/migrations`.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as Connection

CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 300


class DatabaseMissing(Exception):
    """The environment does not say where the database of the use cases is."""


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection of its own; all or nothing of what the block writes is kept. Raises psycopg2.Error."""
    with closing(_connect()) as connection, connection:
        yield connection


def _connect() -> Connection:
    url = os.environ.get("ATALAYA_USECASES_URL")
    if not url:
        raise DatabaseMissing(
            "The environment of Airflow's tasks lacks ATALAYA_USECASES_URL; `make up` sets it."
        )
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_S * 1000}"
    return psycopg2.connect(
        url, connect_timeout=CONNECT_TIMEOUT_S, application_name="atalaya pipelines", options=options
    )


# --- writing


def copy_new(
    connection: Connection,
    table: str,
    columns: Mapping[str, str],
    lines: Iterable[tuple[Any, ...]],
    same: Mapping[str, Any],
    unique: str,
    *,
    order: str,
    numbered: bool = False,
) -> int:
    """COPY into a table that goes again, then INSERT what is new, in order; how many those were."""
    staged = {"n": "integer", **columns} if numbered else dict(columns)
    made = ", ".join(f"{name} {kind}" for name, kind in staged.items())
    names, fixed = ", ".join(columns), ", ".join(same)
    places = ", ".join("%s" for _ in same)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE staged_{table} ({made}) ON COMMIT DROP")
        text = _Lines(lines)
        try:
            cursor.copy_expert(f"COPY staged_{table} FROM STDIN", text)
        except psycopg2.errors.QueryCanceled:
            if text.fault is not None:
                raise text.fault from None  # what the row was, in place of psycopg2's words about it
            raise
        cursor.execute(
            f"INSERT INTO {table} ({fixed}, {names}) SELECT {places}, {names} FROM staged_{table}"  # noqa: S608
            f" ORDER BY {order} ON CONFLICT {unique} DO NOTHING",
            list(same.values()),
        )
        n_added = cursor.rowcount
        cursor.execute(f"DROP TABLE staged_{table}")
    return int(n_added)


class _Lines:
    """What COPY reads, made as it is read: a large batch in one piece would take several times its size."""

    def __init__(self, lines: Iterable[tuple[Any, ...]]) -> None:
        self._lines = ("\t".join(_escaped(str(value)) for value in line) + "\n" for line in lines)
        self.fault: ValueError | None = None

    def read(self, size: int) -> bytes:
        """Whole lines, at least `size` characters of them unless they end."""
        found, n = [], 0
        try:
            for line in self._lines:
                found.append(line)
                n += len(line)
                if n >= size:
                    break
        except ValueError as error:
            self.fault = error
            raise
        return "".join(found).encode()


def insert(table: str, values: Mapping[str, Any]) -> str:
    """The statement that takes these values by their names."""
    names, places = ", ".join(values), ", ".join(f"%({name})s" for name in values)
    return f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608


def json_text(row: Mapping[str, Any]) -> str:
    """Its JSON, the same for the same row: the hash of a row is taken of it. Raises ValueError for NaN."""
    text = _json(row)
    return _json(_cleaned(row)) if "\\u0000" in text or not text.isascii() else text


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(name)): _cleaned(inner) for name, inner in value.items()}
    return [_cleaned(inner) for inner in value] if isinstance(value, list | tuple) else value


def storable(text: str) -> str:
    """Without what PostgreSQL takes in no text: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode(errors="replace").decode()


def _escaped(text: str) -> str:
    """As COPY's text format wants it."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def now() -> datetime:
    """With its zone."""
    return datetime.now(UTC)
