"""What a use case has collected: batches, each taken once, their rows, and those that could not be taken.

A step that is tried again, and a run that catches up, find the batch there and add nothing. Raw rows are kept
as they came, the same row once; clean rows are what models learn from, each under a key of its own.
"""

import hashlib
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import Json

from dags.recipes.common import database
from dags.recipes.common.log import say
from dags.recipes.common.run_folder import DagRun

PIECE = 5_000  # rows that are fetched at once
LONGEST_ROW = 2_000  # characters of a rejected row that are kept
LONGEST_KEY = 200  # characters of a batch's key
MOST_REJECTED = 10_000  # rejected rows of one batch that are kept; all are counted


@dataclass(frozen=True)
class Origin:
    """Where a batch comes from. data_source: `file`, `url`, `synthetic` or `api`."""

    data_source: str
    origin: str
    data_sha256: str


@dataclass(frozen=True)
class Rejected:
    """A row that could not be taken. position: its place in the batch, from 0."""

    position: int
    reason: str
    row: str


@dataclass(frozen=True)
class Clean:
    """A row to learn from. part: `train`, `validation`, `test`, or empty."""

    key: str
    data: Mapping[str, Any]
    part: str = ""


@dataclass(frozen=True)
class Added:
    """What a batch came to. is_known: it was there already, and nothing was written."""

    batch_id: int
    rows_in: int
    rows_new: int
    rows_duplicate: int
    rows_rejected: int
    is_known: bool

    def tell(self, key: str) -> None:
        if self.is_known:
            say(f"Batch {key} was taken before: nothing is added.")
        say(
            f"Batch {key}: {self.rows_in:,} rows, {self.rows_new:,} new, {self.rows_duplicate:,} there"
            f" before, {self.rows_rejected:,} rejected."
        )


def key_of(text: str) -> str:
    """A batch's key as it is kept: one that is too long keeps its beginning, and a hash of the whole."""
    key = database.storable(text)
    if len(key) <= LONGEST_KEY:
        return key
    return f"{key[: LONGEST_KEY - 13]} {hashlib.sha256(key.encode()).hexdigest()[:12]}"


def add_batch(
    usecase: str,
    key: str,
    *,
    run: DagRun,
    origin: Origin,
    rows: Iterable[Mapping[str, Any]],
    rejected: Sequence[Rejected] = (),
    clean: Iterable[Clean] = (),
    facts: Mapping[str, Any] | None = None,
    replace: bool = False,
) -> Added:
    """Write a batch with all its rows in one transaction, or nothing. key: what it is called for ever, see
    `key_of`.

    replace: what the use case has collected before goes in the same transaction.

    rows: as they came, but for the rejected ones; values that JSON has. clean: rows to learn from; of two
    with one key the first stays. Both are read once, row by row, so that a generator needs little memory.
    """
    left_out = {row.position for row in rejected}
    positions = (n for n in itertools.count() if n not in left_out)
    taken = itertools.count()
    placed = ((position, row) for _n, position, row in zip(taken, positions, rows, strict=False))
    with database.transaction() as connection:
        if replace:
            _clear(connection, usecase)
        batch_id = _begin(connection, usecase, key, run, origin, len(rejected), dict(facts or {}))
        if batch_id is None:
            added = _known(connection, usecase, key)
        else:
            n_new = _add_raw(connection, usecase, batch_id, placed)
            _add_rejected(connection, batch_id, rejected[:MOST_REJECTED])
            _add_clean(connection, usecase, batch_id, clean)
            n_in = next(taken) - 1 + len(rejected)  # zip took one more to see that the rows had ended
            added = _end(connection, batch_id, n_in, n_new, len(rejected))
    added.tell(key)
    return added


def note_batch(
    usecase: str,
    key: str,
    *,
    run: DagRun,
    origin: Origin,
    rows_in: int,
    rows_rejected: int,
    facts: Mapping[str, Any],
) -> Added:
    """Write a batch whose rows lie elsewhere; `facts` says where. One that comes again says it anew."""
    with database.transaction() as connection:
        batch_id = _begin(connection, usecase, key, run, origin, rows_rejected, dict(facts))
        if batch_id is None:
            batch_id = _known(connection, usecase, key).batch_id
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE batch SET dag_id = %s, dag_run_id = %s, at = %s, rows_in = %s,"
                    " rows_rejected = %s, facts = %s WHERE id = %s",
                    [
                        run.dag_id,
                        run.run_id,
                        database.now(),
                        rows_in,
                        rows_rejected,
                        Json(dict(facts)),
                        batch_id,
                    ],
                )
        added = _end(connection, batch_id, rows_in, rows_in - rows_rejected, rows_rejected)
    added.tell(key)
    return added


@dataclass(frozen=True)
class Newest:
    """The batch of a use case that came last, or came again last."""

    key: str
    origin: Origin
    facts: Mapping[str, Any]


def newest_batch(usecase: str) -> Newest | None:
    """None before the first."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT key, data_source, origin, data_sha256, facts FROM batch WHERE usecase = %s"
            " ORDER BY at DESC, id DESC LIMIT 1",
            [usecase],
        )
        found = cursor.fetchone()
    return Newest(found[0], Origin(*found[1:4]), found[4]) if found else None


def clean_rows(
    usecase: str, *, part: str | None = None, first: int = 0, last: int | None = None
) -> pd.DataFrame:
    """Rows to learn from in their fixed order (that in which they came), with their `key` and `part` beside.

    first, last: of that order, last not included.
    """
    where = "usecase = %s" + ("" if part is None else " AND part = %s")
    values = [usecase] if part is None else [usecase, part]
    statement = f"SELECT key, part, data FROM clean_row WHERE {where} ORDER BY id OFFSET %s LIMIT %s"  # noqa: S608
    values = [*values, first, None if last is None else last - first]
    with database.transaction() as connection, connection.cursor("clean_rows") as cursor:
        cursor.execute(statement, values)
        return _table(cursor, ["key", "part"])


def raw_rows(usecase: str, batch_id: int | None = None) -> pd.DataFrame:
    """Rows as they came, of one batch or of all, in their order; `batch_id` and `position` beside."""
    where = "usecase = %s" + ("" if batch_id is None else " AND batch_id = %s")
    values = [usecase] if batch_id is None else [usecase, batch_id]
    statement = f"SELECT batch_id, position, data FROM raw_row WHERE {where} ORDER BY id"  # noqa: S608
    with database.transaction() as connection, connection.cursor("raw_rows") as cursor:
        cursor.execute(statement, values)
        return _table(cursor, ["batch_id", "position"])


def _table(cursor: Cursor, beside: Sequence[str]) -> pd.DataFrame:
    """Rows of `beside` and data, column by column, equal texts once: dicts need ten times the room."""
    columns: dict[str, list[Any]] = {}
    n_rows = 0
    while found := cursor.fetchmany(PIECE):
        for *fixed, data in found:
            values = {**data, **dict(zip(beside, fixed, strict=True))}
            for name in values.keys() - columns.keys():
                columns[name] = [None] * n_rows
            for name, column in columns.items():
                value = values.get(name)
                column.append(sys.intern(value) if isinstance(value, str) else value)
            n_rows += 1
    return pd.DataFrame(columns or {name: [] for name in beside})


def keys(usecase: str) -> set[str]:
    """Of the batches that were taken."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT key FROM batch WHERE usecase = %s", [usecase])
        return {key for (key,) in cursor.fetchall()}


def known_values(usecase: str, name: str, values: Iterable[str]) -> set[str]:
    """Which of these values of one column raw rows hold already."""
    statement = "SELECT DISTINCT data->>%s FROM raw_row WHERE usecase = %s AND data->>%s = ANY(%s)"
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(statement, [name, usecase, name, list(values)])
        return {value for (value,) in cursor.fetchall()}


def newest_facts(usecase: str, prefix: str) -> dict[str, Any]:
    """The facts of the newest batch whose key starts so; empty while there is none."""
    statement = "SELECT facts FROM batch WHERE usecase = %s AND starts_with(key, %s) ORDER BY id DESC LIMIT 1"
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(statement, [usecase, prefix])
        found = cursor.fetchone()
    return dict(found[0]) if found else {}


def clean_of_run(usecase: str, *, run: DagRun) -> int:
    """How many rows to learn from a run has brought."""
    statement = (
        "SELECT count(*) FROM clean_row JOIN batch ON batch.id = batch_id"
        " WHERE clean_row.usecase = %s AND dag_id = %s AND dag_run_id = %s"
    )
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(statement, [usecase, run.dag_id, run.run_id])
        return int(cursor.fetchone()[0])


def clean_since_training(usecase: str, *, run: DagRun) -> int:
    """How many rows to learn from have come after those of the last run that trained: whose model was judged.

    A decision of this very run does not count: a step that is tried again finds what it found before.
    """
    statement = (
        "SELECT count(*) FROM clean_row WHERE usecase = %(usecase)s AND batch_id > (SELECT"
        " coalesce(max(batch.id), 0) FROM batch JOIN decision AS wish USING (usecase, dag_id, dag_run_id)"
        " JOIN decision AS verdict USING (usecase, dag_id, dag_run_id)"
        " WHERE usecase = %(usecase)s AND wish.kind = 'train' AND wish.is_yes AND verdict.kind = 'promote'"
        " AND EXISTS (SELECT FROM clean_row WHERE batch_id = batch.id)"
        " AND (dag_id, dag_run_id) <> (%(dag_id)s, %(run_id)s))"
    )
    values = {"usecase": usecase, "dag_id": run.dag_id, "run_id": run.run_id}
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.fetchone()[0])


_OF_USECASE = "usecase = %(usecase)s"
_TABLES = {  # what a use case has collected, rows before the batches that they belong to
    "raw_row": _OF_USECASE,
    "clean_row": _OF_USECASE,
    "rejected_row": "batch_id IN (SELECT id FROM batch WHERE usecase = %(usecase)s)",
    "training_batch": _OF_USECASE,
    "batch": _OF_USECASE,
}


def counts(usecase: str) -> dict[str, int]:
    """How much there is: batches, raw, clean and rejected rows, training batches."""
    found = {}
    with database.transaction() as connection, connection.cursor() as cursor:
        for table, where in _TABLES.items():
            cursor.execute(f"SELECT count(*) FROM {table} WHERE {where}", {"usecase": usecase})  # noqa: S608
            found[table] = int(cursor.fetchone()[0])
    return found


def clear(usecase: str) -> dict[str, int]:
    """Remove all that the use case has collected; how much that was. Decisions stay."""
    with database.transaction() as connection:
        return _clear(connection, usecase)


def _clear(connection: Connection, usecase: str) -> dict[str, int]:
    removed = {}
    with connection.cursor() as cursor:
        for table, where in _TABLES.items():
            cursor.execute(f"DELETE FROM {table} WHERE {where}", {"usecase": usecase})  # noqa: S608
            removed[table] = int(cursor.rowcount)
    return removed


def data_sources(usecase: str) -> set[str]:
    """Of all batches that are there."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT data_source FROM batch WHERE usecase = %s", [usecase])
        return {str(row[0]) for row in cursor.fetchall()}


def clean_origins(usecase: str) -> list[Origin]:
    """Where the rows to learn from came from: of each batch that has some."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT data_source, origin, data_sha256 FROM batch WHERE usecase = %s"
            " AND EXISTS (SELECT FROM clean_row WHERE batch_id = batch.id) ORDER BY id",
            [usecase],
        )
        return [Origin(*found) for found in cursor.fetchall()]


def clean_sources(usecase: str, *, told_as: str) -> set[str]:
    """What the rows to learn from are: the `data_source` of each batch that has some.

    told_as: the fact in which a batch of a data service keeps what that said of its own data; "" where it did
    not.
    """
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT CASE data_source WHEN 'api' THEN coalesce(facts->>%s, '') ELSE data_source END"
            " FROM batch WHERE usecase = %s AND EXISTS (SELECT FROM clean_row WHERE batch_id = batch.id)",
            [told_as, usecase],
        )
        return {str(row[0]) for row in cursor.fetchall()}


def true_source(sources: Iterable[str], *, via: str) -> str:
    """One word for rows that came `via` a store or service, which stands for itself where the true one is not
    known of all.

    Invented rows name the whole; a file and its public address hold the same.
    """
    there = set(sources)
    if "synthetic" in there:
        return "synthetic"
    return min(there) if there and there <= {"file", "url"} else via


def newest_origin(usecase: str) -> Origin | None:
    """Where the newest batch came from; None where there is none."""
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT data_source, origin, data_sha256 FROM batch WHERE usecase = %s ORDER BY id DESC LIMIT 1",
            [usecase],
        )
        found = cursor.fetchone()
    return Origin(*found) if found else None


# --- how far training has gone


@dataclass(frozen=True)
class TrainingBatch:
    """Rows `first` to `last` of the rows to learn from, last not included. number: from 1."""

    number: int
    first: int
    last: int


def next_training_batch(
    usecase: str, *, run: DagRun, size: int, part: str = "train", restart: bool = False
) -> TrainingBatch | None:
    """Move on by one batch: which rows it holds, None when all were taken. A retry gets the same ones.

    restart: forget what was taken, and begin at the first row again.
    """
    with database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"training_batch {usecase}"])
        cursor.execute(
            "SELECT number, first, last FROM training_batch WHERE usecase = %s AND dag_run_id = %s",
            [usecase, run.run_id],
        )
        if (mine := cursor.fetchone()) is not None:
            return TrainingBatch(*mine)
        if restart:
            cursor.execute("DELETE FROM training_batch WHERE usecase = %s", [usecase])
        cursor.execute(
            "SELECT coalesce(max(number), 0), coalesce(max(last), 0) FROM training_batch WHERE usecase = %s",
            [usecase],
        )
        number, first = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM clean_row WHERE usecase = %s AND part = %s", [usecase, part])
        last = min(first + size, cursor.fetchone()[0])
        if last <= first:
            return None
        cursor.execute(
            "INSERT INTO training_batch (usecase, number, first, last, dag_run_id, at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [usecase, number + 1, first, last, run.run_id, database.now()],
        )
        return TrainingBatch(number + 1, first, last)


# --- how


def _begin(
    connection: Connection,
    usecase: str,
    key: str,
    run: DagRun,
    origin: Origin,
    n_rejected: int,
    facts: dict[str, Any],
) -> int | None:
    values = {
        "usecase": usecase,
        "key": key_of(key),
        "data_source": origin.data_source,
        "origin": origin.origin,
        "data_sha256": origin.data_sha256,
        "dag_id": run.dag_id,
        "dag_run_id": run.run_id,
        "at": database.now(),
        "rows_in": 0,
        "rows_new": 0,
        "rows_duplicate": 0,
        "rows_rejected": n_rejected,
        "facts": Json(facts),
    }
    with connection.cursor() as cursor:
        cursor.execute(f"{database.insert('batch', values)} ON CONFLICT DO NOTHING RETURNING id", values)
        found = cursor.fetchone()
    return int(found[0]) if found else None


def _known(connection: Connection, usecase: str, key: str) -> Added:
    names = "id, rows_in, rows_new, rows_duplicate, rows_rejected"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {names} FROM batch WHERE usecase = %s AND key = %s", [usecase, key_of(key)])  # noqa: S608
        return Added(*cursor.fetchone(), is_known=True)


def _end(connection: Connection, batch_id: int, n_in: int, n_new: int, n_rejected: int) -> Added:
    n_duplicate = n_in - n_new - n_rejected
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE batch SET rows_in = %s, rows_new = %s, rows_duplicate = %s WHERE id = %s",
            [n_in, n_new, n_duplicate, batch_id],
        )
    return Added(batch_id, n_in, n_new, n_duplicate, n_rejected, is_known=False)


def _add_raw(
    connection: Connection, usecase: str, batch_id: int, rows: Iterable[tuple[int, Mapping[str, Any]]]
) -> int:
    texts = ((position, database.json_text(row)) for position, row in rows)
    lines = ((position, f"\\x{hashlib.sha256(text.encode()).hexdigest()}", text) for position, text in texts)
    return database.copy_new(
        connection,
        "raw_row",
        {"position": "integer", "row_sha256": "bytea", "data": "jsonb"},
        lines,
        {"usecase": usecase, "batch_id": batch_id},
        "(usecase, row_sha256)",
        order="position",
    )


def _add_rejected(connection: Connection, batch_id: int, rejected: Sequence[Rejected]) -> None:
    lines = [
        (row.position, database.storable(row.reason), database.storable(row.row[:LONGEST_ROW]))
        for row in rejected
    ]
    columns = {"position": "integer", "reason": "text", "row": "text"}
    database.copy_new(
        connection, "rejected_row", columns, lines, {"batch_id": batch_id}, "(id)", order="position"
    )


def _add_clean(connection: Connection, usecase: str, batch_id: int, clean: Iterable[Clean]) -> int:
    lines = (
        (n, database.storable(row.key), row.part, database.json_text(row.data)) for n, row in enumerate(clean)
    )
    return database.copy_new(
        connection,
        "clean_row",
        {"key": "text", "part": "text", "data": "jsonb"},
        lines,
        {"usecase": usecase, "batch_id": batch_id},
        "(usecase, key)",
        order="n",
        numbered=True,
    )
