"""When a pipeline's next runs will be, from its schedule as Airflow words it. No Django."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from celery.schedules import ParseException, crontab

N: Final = 5
A_WHILE: Final = timedelta(hours=3)  # longer than clocks are put forward by
_DELTA: Final = re.compile(r"(?:(\d+) days?, )?(\d+):(\d\d):(\d\d)")
_FIELDS: Final = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def next_times(
    schedule: str,
    first: datetime | None,
    zone: str,
    *,
    logical: datetime | None = None,
    until: datetime | None = None,
) -> list[datetime]:
    """The next runs, the first as Airflow has it: five for a cron text or a distance in time, one for others.

    schedule: "30 6 * * 1-5", read in the zone, or "1 day, 0:00:00". A cron text of which `first` is no time
    there is read in another zone, and nothing is guessed. logical: the date of the first run, which tells
    whether a run comes at its date or at the end of the time that begins there. until: no date is later.
    """
    if first is None:
        return []
    if _cron(schedule) and not zone_of(schedule, first, zone):
        return [first]
    comes_late = logical is not None and next(_after(schedule, logical, zone), None) == first
    times = [first, *islice(_after(schedule, first, zone), N - 1)]
    dates = times[:-1] if comes_late else times[1:]
    later = (at for at, date in zip(times[1:], dates, strict=True) if until is None or date <= until)
    return [first, *later]


@lru_cache(maxsize=10_000)  # a list of pipelines has hundreds of them, and is drawn again at every change
def zone_of(schedule: str, first: datetime | None, zone: str) -> str:
    """The zone that a cron text is read in: `zone`, or "" where the next run says that it is another.

    Airflow tells the zone of the pipeline's dates alone; a timetable may have its own. "" for what is no cron
    text, too.
    """
    if not _cron(schedule) or not _zone(zone):
        return ""
    return zone if first is None or _is_time_of(schedule, first, zone) else ""


def _is_time_of(schedule: str, at: datetime, zone: str) -> bool:
    """Whether the clock on the wall fits the cron text; where it was put forward, what it skipped may do so.

    Airflow takes a time that was skipped for as much later, and one that comes twice for either of them.
    """
    local = _zone(zone)
    shown = at.astimezone(local)
    skipped = (shown.utcoffset() or timedelta()) - (
        (at - A_WHILE).astimezone(local).utcoffset() or timedelta()
    )
    walls = [shown.replace(tzinfo=None, fold=0)]
    earlier = walls[0] - skipped
    if (
        skipped
        and earlier.replace(tzinfo=local).astimezone(UTC).astimezone(local).replace(tzinfo=None) != earlier
    ):
        walls.append(earlier)
    return any(_shows(crontab(**(_cron(schedule) or {})), wall) for wall in walls)


def _shows(times: crontab, wall: datetime) -> bool:
    """Whether it is one of the times."""
    return (
        wall == wall.replace(second=0, microsecond=0)
        and wall.minute in times.minute
        and wall.hour in times.hour
        and wall.day in times.day_of_month
        and wall.month in times.month_of_year
        and wall.isoweekday() % 7 in times.day_of_week
    )


def has_zone(schedule: str) -> bool:
    """Whether it is a text for cron that is understood here, which has to be read in some zone."""
    return _cron(schedule) is not None


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
