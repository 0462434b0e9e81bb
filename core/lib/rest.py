"""What every REST view does with a body or a query, and with the rows that it answers."""

from collections.abc import Callable, Iterable
from datetime import datetime, tzinfo
from functools import cache
from operator import attrgetter
from typing import Any, Final

from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

# Fields that pass a value of this type on as it is.
PASSED_ON: Final[dict[type[serializers.Field], type]] = {
    serializers.CharField: str,
    serializers.IntegerField: int,
    serializers.FloatField: float,
    serializers.BooleanField: bool,
}
Writer = Callable[[Any, tzinfo], Any]


class OurFormat(DefaultContentNegotiation):
    """Answers in the format of the view where it has none of those that the caller names.

    HTTP leaves that to the server (RFC 9110, 12.4.1), and who asks for the CSV or the problem that an address
    gives means no refusal.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The first of the view's where none is accepted."""
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            first = next(iter(renderers))
            return first, first.media_type


class StrictSerializer(serializers.Serializer):
    """Refuses fields that it does not know: a misspelt one must not be ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Raises ValidationError with each unknown field."""
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: [_("There is no such field.")] for name in unknown})
        return super().to_internal_value(data)


class WholeListSerializer(serializers.Serializer):
    """A list that is one page: in the shape of those that have several, for programs that read any."""

    next = serializers.SerializerMethodField(help_text="null: there is no other page")

    def get_next(self, _found: Any) -> str | None:
        """Nothing follows."""
        return None


class RowSerializer(serializers.ModelSerializer):
    """Of rows that come in long lists: writes what its fields would, in a quarter of their time.

    They are made once for the class, not for each answer, and most values need not pass through them. So a
    `SerializerMethodField` sees the row alone: no context, no other data.
    """

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """name -> what JSON shows."""
        zone = timezone.get_current_timezone()
        return {name: write(instance, zone) for name, write in _writers(type(self))}


@cache
def _writers(kind: type[RowSerializer]) -> list[tuple[str, Writer]]:
    return [(name, _writer(field)) for name, field in kind().fields.items() if not field.write_only]


def _writer(field: serializers.Field) -> Writer:
    is_moment = type(field) is serializers.DateTimeField
    passed_on = PASSED_ON.get(type(field))
    is_plain = len(field.source_attrs) == 1 and (is_moment or passed_on is not None)
    read = attrgetter(str(field.source)) if is_plain else field.get_attribute

    def write(row: Any, zone: tzinfo) -> Any:
        value = read(row)
        if value is None or type(value) is passed_on:
            return value
        if is_moment and isinstance(value, datetime):
            text = value.astimezone(zone).isoformat()
            return f"{text[:-6]}Z" if text.endswith("+00:00") else text
        return field.to_representation(value)

    return write


def valid(serializer: type[serializers.Serializer], data: Any) -> dict[str, Any]:
    """The checked values. Raises ValidationError, which becomes a 422 with every fault."""
    given = serializer(data=data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def valid_query(serializer: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    """As `valid`, of the address: what is given without a value counts as not given."""
    return valid(serializer, {name: value for name, value in request.query_params.items() if value})
