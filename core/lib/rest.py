"""What every REST view does with a body or a query: read it with a serializer that ignores nothing."""

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request


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


def valid(serializer: type[serializers.Serializer], data: Any) -> dict[str, Any]:
    """The checked values. Raises ValidationError, which becomes a 422 with every fault."""
    given = serializer(data=data)
    given.is_valid(raise_exception=True)
    return dict(given.validated_data)


def valid_query(serializer: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    """As `valid`, of the address: what is given without a value counts as not given."""
    return valid(serializer, {name: value for name, value in request.query_params.items() if value})
