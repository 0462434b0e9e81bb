"""Times as others send them: seconds to nanoseconds, text, nothing, or what no clock has ever shown."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.utils import timezone

# A number of seconds since 1970 that is this large lies after the year 5000: it is in a smaller unit.
_LARGEST_SECONDS: Final = 10**11
EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
# How far ahead of ours a clock may be: wrong time zones are forgiven, wrong years are not.
AHEAD: Final = timedelta(days=1)


def moment(value: Any, *, is_planned: bool = False) -> datetime | None:
    """The time that this says; None, "unknown", when it says none, or one that cannot be.

    value: seconds, milli-, micro- or nanoseconds since 1970, as a number or text; ISO 8601, in UTC where it
    names no zone; a datetime. Zero and less are no time. is_planned: it may lie ahead of our clock.
    """
    found = _read(value)
    if found is None or not EARLIEST <= found < LATEST:
        return None
    return found if is_planned or found <= timezone.now() + AHEAD else None


def _read(value: Any) -> datetime | None:
    try:
        match value:
            case datetime():
                return _in_utc(value)
            case bool():
                return None
            case int() | float():
                return _since_1970(value)
            case str():
                return _of_text(value.strip())
    except (ValueError, OverflowError):  # no number, no date, or far outside of what Python can say
        return None
    return None


def _of_text(text: str) -> datetime | None:
    if text.lstrip("+-").replace(".", "", 1).isdecimal() and len(text) > 8:  # 20260101 is a date
        return _since_1970(float(text))
    return _in_utc(datetime.fromisoformat(text)) if text else None


def _since_1970(number: float) -> datetime | None:
    if number <= 0 or not math.isfinite(number):
        return None
    seconds = float(number)
    for _unit in ("milliseconds", "microseconds", "nanoseconds"):
        if seconds >= _LARGEST_SECONDS:
            seconds /= 1000
    return datetime.fromtimestamp(seconds, UTC)


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
