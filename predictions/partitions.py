"""The daily partitions of recorded predictions: a day's bounds are the ids of its first and last moment."""

import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import structlog
from django.db import Error, OperationalError, connection, transaction

from core.lib.aside import is_ours

log = structlog.get_logger(__name__)

DAYS_AHEAD = 2
# Older ids, and those of a clock that is wrong, go to the default partition: nobody makes a table for each.
DAYS_BACK = 31
BATCH = 5_000

MAX_MS = 253_402_300_799_000  # the end of the year 9999

_made: set[date] = set()


def first_id(day: date) -> uuid.UUID:
    """The smallest UUIDv7 of a day (UTC); of all, for a day before 1970."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return uuid.UUID(int=max(int(midnight.timestamp() * 1000), 0) << 80)


def at_of(id_: uuid.UUID) -> datetime:
    """When an id of version 7 was made; the year 1970 for a time that no calendar holds."""
    milliseconds = id_.int >> 80
    return datetime.fromtimestamp(milliseconds / 1000 if milliseconds < MAX_MS else 0, tz=UTC)


def upcoming() -> list[date]:
    """Today and the days for which partitions are made ahead."""
    today = datetime.now(UTC).date()
    return [today + timedelta(days=n) for n in range(DAYS_AHEAD + 1)]


def ensure_for(ids: Iterable[uuid.UUID]) -> None:
    """The partitions that these ids need, and those of the coming days."""
    ahead = upcoming()
    oldest = ahead[0] - timedelta(days=DAYS_BACK)
    needed = {at_of(id_).date() for id_ in ids}
    for day in sorted({day for day in needed if oldest <= day <= ahead[-1]} | set(ahead)):
        if day not in _made:
            ensure(day)
            _made.add(day)


def drop_before(day: date) -> list[date]:
    """Remove the days before this one, and their rows that lie in the default partition; the days that went.

    A day is gone at once, whatever it held: PostgreSQL drops its table.
    """
    dropped = [found for found in _days() if found < day and _drop(found)]
    n_rows = BATCH
    while n_rows == BATCH:
        with connection.cursor() as cursor:
            cursor.execute(_DELETE_OLD, [str(first_id(day)), BATCH])
            n_rows = cursor.rowcount
    return dropped


def _drop(day: date) -> bool:
    """Whether it went: everybody waits behind who waits for a table, so a busy one is left for tomorrow."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")
            cursor.execute(f"DROP TABLE IF EXISTS predictions_prediction_{day:%Y%m%d}")
    except OperationalError as error:
        log.warning("predictions.day_not_removed", day=str(day), error=str(error))
        return False
    _made.discard(day)
    log.info("predictions.day_removed", day=str(day))
    return True


def _days() -> list[date]:
    """Those that have a partition, the oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_PARTITIONS)
        names = [name.removeprefix("predictions_prediction_") for (name,) in cursor.fetchall()]
    return sorted(datetime.strptime(name, "%Y%m%d").date() for name in names if name.isdecimal())


_PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'predictions_prediction'::regclass
"""
_DELETE_OLD = """
DELETE FROM predictions_prediction_default
WHERE id IN (SELECT id FROM predictions_prediction_default WHERE id < %s LIMIT %s)
"""


def ensure(day: date) -> None:
    """Create one day's partition; rows that lie in the default partition already keep that day there."""
    bounds = [str(first_id(day)), str(first_id(day + timedelta(days=1)))]
    create = (
        f"CREATE TABLE IF NOT EXISTS predictions_prediction_{day:%Y%m%d}"
        " PARTITION OF predictions_prediction FOR VALUES FROM (%s) TO (%s)"
    )
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(create, bounds)
    except Error as error:  # the default partition takes its rows
        if is_ours(error):
            raise
        log.warning("predictions.partition_not_made", day=str(day), error=str(error))
