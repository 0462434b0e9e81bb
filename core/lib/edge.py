"""What callers write as text, read in one way everywhere: times, whole numbers, ids, addresses of our own.

What makes no sense is refused with the name of the field at fault (422). JSON has `core.lib.json_bodies`.
"""

import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.functional import lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import format_lazy
from django.utils.timezone import get_current_timezone, get_current_timezone_name, is_naive
from django.utils.translation import gettext as _
from rest_framework import serializers

from core.lib.errors import InvalidRequest

LARGEST: Final = 2**63 - 1
_WHOLE = re.compile(r"-?[0-9]{1,19}")
# Whoever adds or takes away days need not look at the ends of the calendar.
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC) + timedelta(days=400)
_LAST: Final = datetime(9999, 12, 31, tzinfo=UTC) - timedelta(days=400)


def refused(field: str, message: str) -> InvalidRequest:
    """The error that says `message` at `field`."""
    return InvalidRequest(message, errors=[{"field": field, "message": message}])


def moment(text: str, field: str) -> datetime:
    """A time as RFC 3339 writes it, in UTC; without a zone it is the reader's, UTC in REST.

    Raises InvalidRequest.
    """
    found = _moment(text)
    if found is None:
        raise refused(field, not_a_time())
    return found


def not_a_time() -> str:
    """What to tell who wrote one that there is not."""
    return _("Write a time like 2026-03-01T12:00:00Z, between the years 2 and 9998.")


def in_utc(at: datetime) -> datetime | None:
    """The same moment in UTC; None for one at the very ends of the calendar.

    PostgreSQL takes no zone 16 hours or more away, and Python no time of the year 0 or 10000. Where clocks go
    back, a time without a zone is the first of the two; where they go forward, as if they had not yet.
    """
    try:
        found = (at.replace(tzinfo=get_current_timezone()) if is_naive(at) else at).astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return found if _FIRST <= found <= _LAST else None


def is_skipped(text: str) -> bool:
    """Whether the reader's clocks are put forward over this time without a zone, so that there is none."""
    try:
        wall = parse_datetime(text.strip())
    except ValueError:
        return False
    if wall is None or not is_naive(wall):
        return False
    at = in_utc(wall)
    return at is not None and at.astimezone(get_current_timezone()).replace(tzinfo=None) != wall


def wall_clock(text: str) -> datetime | None:
    """What a clock elsewhere shows, labelled as UTC; a zone in the text is left out.

    None for what is no time.
    """
    try:
        found = parse_datetime(text.strip())
    except ValueError:
        return None
    return None if found is None else in_utc(found.replace(tzinfo=UTC))


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text.strip())
    except ValueError:
        return None
    return None if found is None else in_utc(found)


def whole(text: str, field: str, *, least: int = 0, most: int = LARGEST) -> int:
    """A whole number within the bounds, both included. Raises InvalidRequest."""
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        bounds = {"least": least, "most": most}
        if most == LARGEST:
            raise refused(field, _("Write a whole number from %(least)d on.") % bounds)
        raise refused(field, _("Write a whole number from %(least)d to %(most)d.") % bounds)
    return int(text)


def whole_or(default: Any, text: str | None, *, least: int = 0, most: int = LARGEST) -> Any:
    """The same for pages, where an address that makes no sense counts as one that does not say."""
    try:
        return whole(text or "", "", least=least, most=most)
    except InvalidRequest:
        return default


def uuid_or_none(text: str) -> uuid.UUID | None:
    """An id; None for what is none."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None


def own_address(text: str, default: str) -> str:
    """An address within the console, from its root; `default` for any other."""
    is_ours = text.startswith("/") and url_has_allowed_host_and_scheme(text, allowed_hosts=None)
    return text if is_ours else default


_zone_name = lazy(get_current_timezone_name, str)


class MomentField(forms.DateTimeField):
    """A date, perhaps with a time, as browsers or RFC 3339 write it; in the zone that its label names."""

    def __init__(
        self, *, label: Any, widget: forms.DateTimeInput | None = None, required: bool = False, **kwargs: Any
    ) -> None:
        shown = widget or forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
        named = format_lazy("{label} ({zone})", label=label, zone=_zone_name())
        super().__init__(required=required, label=named, widget=shown, **kwargs)

    def to_python(self, value: Any) -> datetime | None:
        """In UTC."""
        known = _moment(value) if isinstance(value, str) else None
        found = known or super().to_python(value)
        if found is None:
            return None
        at = in_utc(found)
        if at is None:
            raise ValidationError(not_a_time())
        return at


class WallClockField(forms.DateTimeField):
    """A date and time as clocks elsewhere show it, labelled as UTC; its help says where."""

    def prepare_value(self, value: Any) -> Any:
        """As it was written."""
        return value.replace(tzinfo=None) if isinstance(value, datetime) else value

    def to_python(self, value: Any) -> datetime | None:
        """Raises ValidationError."""
        if isinstance(value, str) and value.strip():
            found = wall_clock(value)
            if found is None:
                raise ValidationError(not_a_time())
            return found
        found = super().to_python(value)
        return None if found is None else found.replace(tzinfo=UTC)


class MomentSerializerField(serializers.DateTimeField):
    """The same in a body."""

    def to_internal_value(self, value: Any) -> datetime:
        """In UTC."""
        at = in_utc(super().to_internal_value(value))
        if at is None:
            raise serializers.ValidationError(not_a_time())
        return at
