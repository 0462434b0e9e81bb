"""Reads Parquet files that somebody brought, in the sandbox: `python -m scoring.parquet_reader look|rows …`.

Files come as open descriptors, answers leave by standard output as frames of a length and a msgpack message.
What the metadata say is checked before anything is decoded; what they hide meets the limit of memory.
"""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # the others reserve more addresses than the limit has

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.parquet_frames import LENGTH_BYTES, Answer, Column, Kind, Refused, Table
from scoring.words import grouped

BATCH_ROWS = 5_000
MAX_FOOTER_BYTES = 16 * 1024**2
MAX_COLUMNS = 10_000
MAX_GROUP_ROWS = 20_000_000
MAX_GROUP_BYTES = 4 * 1024**3  # of one column in one row group, decoded
LEAST_SENT, MOST_SENT = -(2**63), 2**64 - 1  # of whole numbers in msgpack
_END_BYTES = 8  # the footer's length and the mark PAR1


def looked(descriptor: int) -> Table:
    """Raises Refused."""
    _check_footer(descriptor)
    with _opened(descriptor) as file:
        _check_groups(file.metadata)
        return Table(file.metadata.num_rows, _columns(file))


def rows(descriptor: int, first: int, names: list[str]) -> Iterator[Answer]:
    """Batches of some columns from row `first` on, a time as seconds since 1970. Raises Refused."""
    known = {column.name: column for column in looked(descriptor).columns}
    for name in names:
        if known[name].kind == "other":
            raise Refused(f"{name} is {known[name].type}, which is no plain value")
    at = 0
    try:
        with _opened(descriptor) as file:
            groups, at = _groups_from(file.metadata, first)
            batches = file.iter_batches(BATCH_ROWS, row_groups=groups, columns=names, use_threads=False)
            for batch in batches:
                wanted = batch.slice(max(0, first - at))
                if wanted.num_rows:
                    values = [_plain(wanted.column(name), known[name].kind) for name in names]
                    yield Answer(rows_at=max(first, at), columns=values)
                at += batch.num_rows
    except MemoryError as error:  # Arrow's own is an ArrowException, too
        raise Refused(f"it needs too much memory after row {grouped(at)}: {error}") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused(f"it is broken after row {grouped(at)}: {error}") from error


def _opened(descriptor: int) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(os.fdopen(descriptor, "rb", closefd=False))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused(f"it is no Parquet file that can be read: {str(error).splitlines()[0]}") from error


def _check_footer(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    length = int.from_bytes(os.pread(descriptor, 4, max(0, size - _END_BYTES)), "little")
    if MAX_FOOTER_BYTES < length <= size:
        raise Refused(
            f"its metadata have {grouped(length)} bytes, {grouped(MAX_FOOTER_BYTES)} are read at most"
        )


def _check_groups(metadata: pq.FileMetaData) -> None:
    if metadata.num_columns > MAX_COLUMNS:
        raise Refused(
            f"it has {grouped(metadata.num_columns)} columns, {grouped(MAX_COLUMNS)} are read at most"
        )
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if not 0 <= group.num_rows <= MAX_GROUP_ROWS:
            raise Refused(
                f"its row group {number} has {grouped(group.num_rows)} rows,"
                f" {grouped(MAX_GROUP_ROWS)} are read at most"
            )
        for place in range(group.num_columns):
            column = group.column(place)
            if not 0 <= column.total_uncompressed_size <= MAX_GROUP_BYTES:
                raise Refused(
                    f"{column.path_in_schema} has {grouped(column.total_uncompressed_size)} bytes"
                    f" in one row group, {grouped(MAX_GROUP_BYTES)} are read at most"
                )


def _columns(file: pq.ParquetFile) -> list[Column]:
    stored = {column.path: column for column in map(file.schema.column, range(len(file.schema)))}
    return [_column(field, stored.get(field.name)) for field in file.schema_arrow]


def _column(field: pa.Field, stored: pq.ColumnSchema | None) -> Column:
    type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    kind = _kind(type_)
    if stored is None:
        return Column(field.name, kind, str(type_))
    return Column(field.name, kind, str(type_), stored.physical_type, kind == "time" and _is_utc(stored))


def _is_utc(stored: pq.ColumnSchema) -> bool:
    """Times of before there was a word for it (converted types, INT96) are moments."""
    said = json.loads(stored.logical_type.to_json())
    return bool(said.get("isAdjustedToUTC", True) or said.get("is_from_converted_type"))


def _kind(type_: pa.DataType) -> Kind:
    if pa.types.is_integer(type_):
        return "integer"
    if pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_boolean(type_):
        return "boolean"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    if pa.types.is_null(type_):
        return "missing"
    return "time" if pa.types.is_timestamp(type_) else "other"


def _groups_from(metadata: pq.FileMetaData, first: int) -> tuple[list[int], int]:
    """The row groups that hold row `first` and those after it, and the number of their first row."""
    at = 0
    for number in range(metadata.num_row_groups):
        if at + metadata.row_group(number).num_rows > first:
            return list(range(number, metadata.num_row_groups)), at
        at += metadata.row_group(number).num_rows
    return [], at


_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _plain(column: pa.Array, kind: Kind) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind == "time":
        per_second = _PER_SECOND[column.type.unit]
        ticks = column.cast(pa.int64()).to_pylist()
        return [None if tick is None else tick / per_second for tick in ticks]
    if pa.types.is_decimal(column.type) and column.type.scale <= 0:
        return [None if value is None else _whole(int(value)) for value in column.to_pylist()]
    if kind == "number":
        column = column.cast(pa.float64())
    values: list[Any] = column.to_pylist()
    return values


def _whole(number: int) -> int | str:
    """With all its digits, as ids have them; as text where a message takes no number of so many."""
    return number if LEAST_SENT <= number <= MOST_SENT else str(number)


def main(argv: list[str]) -> None:
    """look: descriptors, one table for each. rows: descriptor, first row, names of columns as JSON."""
    out = sys.stdout.buffer
    try:
        if argv[1] == "look":
            for descriptor in argv[2:]:
                _send(out, Answer(table=looked(int(descriptor))))
        else:
            for answer in rows(int(argv[2]), int(argv[3]), msgspec.json.decode(argv[4])):
                _send(out, answer)
    except Refused as error:
        _send(out, Answer(refused=str(error)))
    except MemoryError:
        _send(out, Answer(refused="it needs too much memory"))
    else:
        _send(out, Answer())


def _send(out: Any, answer: Answer) -> None:
    data = msgspec.msgpack.encode(answer)
    out.write(len(data).to_bytes(LENGTH_BYTES) + data)
    out.flush()


if __name__ == "__main__":
    main(sys.argv)
