"""Files that can be replayed: which they are, and their lines as events with event times. Django-free.

`nyc_taxi_ride_events.txt` and its like become events of `ride_events`, months of taxi trips (Parquet,
yellow or green) those of `taxi_trips`.
"""

import csv
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from scoring import parquet

ENDINGS = (".parquet", ".txt", ".csv")
RIDE_COLUMNS = 7
RIDES = "ride events (text: id, time, START or END, longitude, latitude, passengers, distance)"
LONGEST_LINE = 64 * 1024  # characters
UNKNOWN_PAYMENT = 5  # as the taxi commission's own list of codes calls it
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
MAX_BYTES = 8 * 1024**3
FIRST_AT, END_AT = -62_135_596_800, 253_402_300_800  # the years 1 to 9999


class FileRefused(ValueError):
    """The file is not one that can be replayed; the text says why and what would be."""


class BadLine(NamedTuple):
    """A line that is no event."""

    reason: str


class Event(NamedTuple):
    """One event. at: Unix seconds, as the file has it; fields: without the event time."""

    at: float
    key: str
    fields: dict[str, Any]


class Format(NamedTuple):
    """How one kind of file is read. time_field: what the event time is called in the message."""

    topic: str
    time_field: str
    lines: Any
    count: Any


def format_of(path: Path) -> Format:
    """Raises FileRefused."""
    if not path.is_file():
        raise FileRefused("there is no such file")
    if path.stat().st_size > MAX_BYTES:
        raise FileRefused("the file is larger than 8 GiB")
    if path.suffix == ".parquet":
        return _trips(path)
    if path.suffix in (".txt", ".csv"):
        _check_rides(path)
        return Format("ride_events", "event_time", _ride_lines, _count_lines)
    raise FileRefused(f"it is neither {RIDES} nor a month of taxi trips (Parquet)")


def _check_rides(path: Path) -> None:
    """Raises FileRefused unless one of the first two lines is an event: above it may stand a header."""
    first = [_ride(line) for line in islice(_text_lines(path), 2)]
    if not any(isinstance(line, Event) for line in first):
        reason = first[-1].reason if first and isinstance(first[-1], BadLine) else "the file is empty"
        raise FileRefused(f"it is neither a month of taxi trips (Parquet) nor {RIDES}: {reason}")


def _text_lines(path: Path) -> Iterator[str]:
    """Lines in the encoding that the file's mark names, else in UTF-8. One that is too long is many."""
    with path.open("rb") as stream:
        mark = stream.read(2)
    encoding = "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with path.open(encoding=encoding, errors="replace") as text:
        while line := text.readline(LONGEST_LINE):
            yield line


def _count_lines(path: Path) -> int:
    return sum(1 for _ in _text_lines(path))


def _ride_lines(path: Path, first: int) -> Iterator[Event | BadLine]:
    """From line `first` on, counted from 0."""
    return (_ride(line) for line in islice(_text_lines(path), first, None))


def _columns(line: str) -> list[str]:
    """Without quotes, blanks around the values, and commas at the end."""
    columns = [column.strip() for column in next(csv.reader([line], skipinitialspace=True), [])]
    while len(columns) > RIDE_COLUMNS and not columns[-1]:
        columns.pop()
    return columns


def _ride(line: str) -> Event | BadLine:
    try:
        columns = _columns(line)
    except csv.Error as error:
        return BadLine(str(error))
    if len(columns) != RIDE_COLUMNS:
        return BadLine(f"{len(columns)} columns, not {RIDE_COLUMNS}" if columns else "the line is empty")
    ride_id, at, kind, longitude, latitude, passengers, distance = columns
    if kind not in ("START", "END"):
        return BadLine("the third column is neither START nor END")
    try:
        when = datetime.strptime(at, TIME_FORMAT).replace(tzinfo=UTC).timestamp()
        far = _real(distance)
        fields = {
            "ride_id": _whole(ride_id),
            "event": kind,
            "longitude": _real(longitude),
            "latitude": _real(latitude),
            "passengers": _whole(passengers),
            "distance": None if far < 0 else far,
        }
    except ValueError as error:
        return BadLine(str(error))
    return Event(when, ride_id, fields)


def _real(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or "_" in text:  # Python reads 1_5 as 15
        raise ValueError(f"{text[:50]!r} is no number")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) >= 2**63:
        raise ValueError("a number of more than 64 bits")
    return number


def _trips(path: Path) -> Format:
    try:
        [table] = parquet.look([path])
    except (parquet.Refused, OSError) as error:
        raise FileRefused(str(error)) from error
    names = {column.name for column in table.columns}
    prefix = next((prefix for prefix in ("lpep", "tpep") if f"{prefix}_pickup_datetime" in names), None)
    needed = {"VendorID", "passenger_count", "trip_distance", "payment_type", "fare_amount", "tip_amount"}
    if prefix is None or needed - names:
        missing = ", ".join(sorted(needed - names)) or "lpep_pickup_datetime or tpep_pickup_datetime"
        raise FileRefused(f"it is no month of taxi trips: {missing} is missing")
    columns = [f"{prefix}_pickup_datetime", *sorted(needed)]
    kind = next(column.kind for column in table.columns if column.name == columns[0])
    if kind != "time":
        raise FileRefused(f"it is no month of taxi trips: {columns[0]} holds no times")

    def lines(path: Path, first: int) -> Iterator[Event | BadLine]:
        return _trip_lines(path, first, columns)

    return Format("taxi_trips", "pickup_datetime", lines, lambda _path: table.n_rows)


def _trip_lines(path: Path, first: int, columns: list[str]) -> Iterator[Event | BadLine]:
    """In the order of the file; a broken page ends it with FileRefused."""
    names = ["at", *columns[1:]]
    try:
        for batch in parquet.rows(path, columns, first):
            for row in batch:
                yield _trip(dict(zip(names, row, strict=True)))
    except (parquet.Refused, OSError) as error:
        raise FileRefused(str(error)) from error


def _trip(row: dict[str, Any]) -> Event | BadLine:
    at = row["at"]
    if at is None:
        return BadLine("no pickup time")
    if not FIRST_AT <= at < END_AT:
        return BadLine("the pickup time is in no calendar")
    payment = row["payment_type"]
    try:
        payment = UNKNOWN_PAYMENT if payment is None else int(payment)
    except (TypeError, ValueError, OverflowError):  # NaN is one, too
        return BadLine(f"the payment type is {str(payment)[:50]}")
    fields = {
        "vendor_id": row["VendorID"],
        "passenger_count": row["passenger_count"],
        "trip_distance": row["trip_distance"],
        "pickup_longitude": None,
        "pickup_latitude": None,
        "dropoff_longitude": None,
        "dropoff_latitude": None,
        "payment_type": payment,
        "fare_amount": row["fare_amount"],
        "tip_amount": row["tip_amount"],
    }
    return Event(at, str(row["VendorID"]), fields)
