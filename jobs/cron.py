"""Cron text as cron reads it: five fields, UTC. Celery finds the times, but reads two things otherwise."""

import re
from datetime import datetime

from celery.schedules import ParseException, crontab
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import InvalidRequest

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
LONGEST = 100
SUNDAY = re.compile(r"(?<![/\d])7(?!\d)")  # cron has it twice, Celery as 0 alone


def next_after(text: str, moment: datetime) -> datetime:
    """The first time after this moment. Raises InvalidRequest for what is no cron text, or never comes.

    Where day of month and weekday both name some, either is enough (crontab(5)).
    """
    try:
        fields = dict(zip(FIELDS, text[:LONGEST].split(), strict=True))
        fields["day_of_week"] = SUNDAY.sub("0", fields["day_of_week"])
        ways = [fields]
        if not any(fields[name].startswith("*") for name in ("day_of_month", "day_of_week")):
            ways = [fields | {"day_of_week": "*"}, fields | {"day_of_month": "*"}]
        found = min(_next(way, moment) for way in ways)
    except (ParseException, ValueError, RuntimeError, KeyError, OverflowError) as error:
        message = _(
            "“%(text)s” is no cron text: write minute, hour, day of month, month and day of week (%(error)s)."
        )
        message %= {"text": text[:LONGEST], "error": str(error).rstrip(".")[:200]}
        raise InvalidRequest(message, errors=[{"field": "cron", "message": message}]) from error
    return found


def _next(fields: dict[str, str], moment: datetime) -> datetime:
    schedule = crontab(**fields, nowfun=lambda: moment.astimezone(timezone.get_default_timezone()))
    found: datetime = moment + schedule.remaining_estimate(moment)
    return found
