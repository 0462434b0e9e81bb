"""When a pipeline's next runs will be, from its schedule as Airflow words it. No Django."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from celery.schedules import ParseException, crontab

N: Final = 5
_DELTA: Final = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")
_FIELDS: Final = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def next_times(schedule: str, first: datetime | None, zone: str) -> list[datetime]:
    """The next runs, the first as Airflow has it: five for a cron text or a distance in time, one for others.

    schedule: "30 6 * * 1-5", read in the zone, or "1 day, 0:00:00".
    """
    if first is None:
        return []
    return [first, *islice(_after(schedule, first, zone), N - 1)]


def n_between(schedule: str, first: datetime, last: datetime, zone: str, *, most: int) -> int | None:
    """How many times the schedule has from first to last, as far as `most` and one; None for others' rules.

    It counts a distance from `first` on, where Airflow counts from the pipeline's start: one more or less.
    """
    apart = _distance(schedule)
    if apart:
        return min((last - first) // apart, most) + 1
    if not _cron(schedule) or not _zone(zone):
        return None
    before = first - timedelta(seconds=1)
    times = takewhile(lambda at: at <= last, _after(schedule, before, zone))
    return sum(1 for _at in islice(times, most + 1))


def _after(schedule: str, at: datetime, zone: str) -> Iterator[datetime]:
    apart = _distance(schedule)
    cron = None if apart else _cron(schedule)
    local = _zone(zone)
    try:
        while apart or (cron and local):
            at = at + apart if apart else _following(cron, at.astimezone(local))
            yield at
    except (OverflowError, RuntimeError):  # at the end of the calendar, or a day that never comes
        return


def _distance(schedule: str) -> timedelta | None:
    found = _DELTA.fullmatch(schedule)
    if not found:
        return None
    days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds) or None


def _cron(schedule: str) -> dict[str, str] | None:
    """The fields; None where Celery reads them otherwise than Airflow, which takes either kind of day."""
    fields = schedule.split()
    if len(fields) != len(_FIELDS) or (fields[2] != "*" and fields[4] != "*"):
        return None
    named = dict(zip(_FIELDS, fields, strict=True))
    try:
        crontab(**named)
    except (ParseException, ValueError, KeyError):
        return None
    return named


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None


def _following(fields: dict[str, str] | None, at: datetime) -> datetime:
    """By the clock on the wall there, on which a day may have 23 hours."""
    wall = at.replace(tzinfo=None)
    utc = wall.replace(tzinfo=ZoneInfo("UTC"))
    schedule = crontab(**(fields or {}), nowfun=lambda: utc)
    following: datetime = utc + schedule.remaining_estimate(utc)
    return following.replace(tzinfo=at.tzinfo).astimezone(ZoneInfo("UTC"))
