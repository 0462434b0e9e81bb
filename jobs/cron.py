"""Cron text as cron reads it: five fields, UTC. Celery finds the times, but reads two things otherwise."""

import contextlib
import re
from datetime import datetime

from celery.schedules import ParseException, crontab
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import InvalidRequest

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
LONGEST = 100
# cron has Sunday twice, Celery as 0 alone: a 7 by itself, and at the end of a range.
SUNDAY = re.compile(r"(?<![-/\d])7(?!\d)")
TO_SUNDAY = re.compile(r"(?<!\d)([0-6])-7(?:/(\d+))?(?!\d)")


def next_after(text: str, moment: datetime) -> datetime:
    """The first time after this moment. Raises InvalidRequest for what is no cron text, or never comes.

    Where day of month and weekday both name some, either is enough (crontab(5)).
    """
    try:
        fields = dict(zip(FIELDS, text[:LONGEST].split(), strict=True))
        fields["day_of_week"] = SUNDAY.sub("0", TO_SUNDAY.sub(_days, fields["day_of_week"]))
        found = min(_times(fields, moment))
    except (ParseException, ValueError, RuntimeError, KeyError, OverflowError) as error:
        message = _(
            "“%(text)s” is no cron text: write minute, hour, day of month, month and day of week (%(error)s)."
        )
        message %= {"text": text[:LONGEST], "error": str(error).rstrip(".")[:200]}
        raise InvalidRequest(message, errors=[{"field": "cron", "message": message}]) from error
    return found


def _days(found: re.Match[str]) -> str:
    """A range to Sunday as a list of days."""
    return ",".join(str(day % 7) for day in range(int(found[1]), 8, int(found[2] or 1)))


def _times(fields: dict[str, str], moment: datetime) -> list[datetime]:
    """The next one by either kind of day; of two a day that never comes leaves the other."""
    if any(fields[name].startswith("*") for name in ("day_of_month", "day_of_week")):
        return [_next(fields, moment)]
    found, by_month = [_next(fields | {"day_of_month": "*"}, moment)], fields | {"day_of_week": "*"}
    _next(by_month | {"month_of_year": "*"}, moment)  # a day that no month has is a fault of the text
    with contextlib.suppress(ValueError):  # Celery's for one that these months do not have
        found.append(_next(by_month, moment))
    return found


def _next(fields: dict[str, str], moment: datetime) -> datetime:
    schedule = crontab(**fields, nowfun=lambda: moment.astimezone(timezone.get_default_timezone()))
    found: datetime = moment + schedule.remaining_estimate(moment)
    return found
