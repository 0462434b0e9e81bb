"""A message as people write it, and the bytes that Kafka gets: text, JSON or base64, each said."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.lib import edge
from core.lib.errors import InvalidRequest
from core.lib.rest import StrictSerializer
from streaming.exactly_once import Outgoing
from streaming.producing import Wish

ENCODINGS: Final = ("text", "json", "base64")
MOST_MESSAGES: Final = 100  # of one call
MOST_HEADERS: Final = 100
LARGEST_PARTITION: Final = 2**31 - 1


class Unfit(NamedTuple):
    """A message that cannot be sent, and the field at fault."""

    field: str
    message: str

    @property
    def in_words(self) -> str:
        """For a list of messages, where no field is pointed at."""
        return f"{self.field}: {self.message}" if self.field else self.message


@extend_schema_field({"oneOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}]})
class TimestampField(serializers.Field):
    """Milliseconds since 1970, or a time as RFC 3339 writes it; milliseconds come out."""

    def to_internal_value(self, data: Any) -> int:
        """Raises ValidationError. 0 is none: Kafka's client takes it for now."""
        if isinstance(data, int) and not isinstance(data, bool):
            found = data
        elif isinstance(data, str):
            try:
                found = int(edge.moment(data, "timestamp").timestamp() * 1000)
            except InvalidRequest as error:
                raise serializers.ValidationError(error.message) from error
        else:
            raise serializers.ValidationError(edge.not_a_time())
        if not 0 < found <= edge.LARGEST:
            raise serializers.ValidationError(_("Write a time after 1970."))
        return found

    def to_representation(self, value: int) -> int:
        """As it is."""
        return value


class NewHeaderSerializer(StrictSerializer):
    name = serializers.CharField(trim_whitespace=False, allow_blank=True, max_length=1000)
    value = serializers.CharField(
        trim_whitespace=False, allow_blank=True, allow_null=True, required=False, default=None
    )
    encoding = serializers.ChoiceField(choices=["text", "base64"], required=False, default="text")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The value as bytes."""
        return {**attrs, "value": _bytes(attrs["value"], attrs["encoding"], "value")}


class NewMessageSerializer(StrictSerializer):
    """null as a key or value is none, a tombstone, in any encoding; JSON's null is the text `null`."""

    key = serializers.JSONField(allow_null=True, required=False, default=None)
    key_encoding = serializers.ChoiceField(choices=ENCODINGS, required=False, default="text")
    value = serializers.JSONField(
        allow_null=True, help_text="Text for text and base64, anything for json, null for a tombstone."
    )
    value_encoding = serializers.ChoiceField(choices=ENCODINGS, required=False, default="text")
    headers = serializers.ListField(
        child=NewHeaderSerializer(), required=False, default=list, max_length=MOST_HEADERS
    )
    partition = serializers.IntegerField(
        min_value=0,
        max_value=LARGEST_PARTITION,
        allow_null=True,
        required=False,
        default=None,
        help_text="null: as the key says, as Java's clients choose it; without a key any.",
    )
    timestamp = TimestampField(
        allow_null=True, required=False, default=None, help_text="null: now. A time, or milliseconds."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Key and value as bytes."""
        encoded = {name: _bytes(attrs[name], attrs[f"{name}_encoding"], name) for name in ("key", "value")}
        return {**attrs, **encoded}


def read(message: Any) -> Wish | Unfit:
    """What is to be sent, or why it cannot be."""
    given = NewMessageSerializer(data=message)
    if not given.is_valid():
        return Unfit(*_first(given.errors))
    values: Mapping[str, Any] = given.validated_data
    headers = [(one["name"], one["value"]) for one in values["headers"]]
    outgoing = Outgoing(values["value"], values["key"], headers, values["timestamp"] or 0)
    return Wish(outgoing, values["partition"])


def _bytes(value: Any, encoding: str, field: str) -> bytes | None:
    if value is None:
        return None
    if encoding == "json":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    if not isinstance(value, str):
        message = _("This is no text: write it in quotes, or say that the encoding is json.")
        raise serializers.ValidationError({field: [message]})
    if encoding == "text":
        return value.encode()
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise serializers.ValidationError({field: [_("This is no base64.")]}) from error


def _first(errors: Any, field: str = "") -> tuple[str, str]:
    """The first fault, with its place as REST writes it: `headers.0.value`."""
    if isinstance(errors, Mapping):
        name, inner = next(iter(errors.items()))
        is_own = name == "non_field_errors"
        return _first(inner, field if is_own else f"{field}.{name}".lstrip("."))
    if isinstance(errors, list) and errors and isinstance(errors[0], Mapping | list):
        number = next((index for index, one in enumerate(errors) if one), 0)
        return _first(errors[number], f"{field}.{number}".lstrip("."))
    return field, str(errors[0]) if isinstance(errors, list) else str(errors)
