"""Cron text, as Celery reads it: five fields, UTC."""

from datetime import datetime

from celery.schedules import ParseException, crontab
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import InvalidRequest

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
LONGEST = 100


def next_after(text: str, moment: datetime) -> datetime:
    """The first time after this moment. Raises InvalidRequest for what is no cron text, or never comes."""
    try:
        fields = dict(zip(FIELDS, text[:LONGEST].split(), strict=True))
        schedule = crontab(**fields, nowfun=lambda: moment.astimezone(timezone.get_default_timezone()))
        found: datetime = moment + schedule.remaining_estimate(moment)
    except (ParseException, ValueError, RuntimeError, KeyError, OverflowError) as error:
        message = _(
            "“%(text)s” is no cron text: write minute, hour, day of month, month and day of week (%(error)s)."
        )
        message %= {"text": text[:LONGEST], "error": str(error).rstrip(".")[:200]}
        raise InvalidRequest(message, errors=[{"field": "cron", "message": message}]) from error
    return found
