"""REST: what was set aside, for administrators."""

from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics, serializers

from core.lib import aside
from core.lib.models import SetAside


class SetAsideSerializer(serializers.ModelSerializer):
    """An item that did not fit. `count`: tries that failed. An empty `key` stands for all beyond a bound."""

    class Meta:
        model = SetAside
        fields: ClassVar = [
            "id",
            "loop",
            "key",
            "about",
            "reason",
            "count",
            "first_at",
            "last_at",
            "next_try_at",
        ]
        read_only_fields = fields


@extend_schema_view(
    get=extend_schema(operation_id="set_aside_list", parameters=[OpenApiParameter("loop", OpenApiTypes.STR)])
)
class SetAsideListView(generics.ListAPIView):
    """Items of services that did not fit and that the console left out; each goes when it fits."""

    serializer_class = SetAsideSerializer

    def get_queryset(self) -> QuerySet[SetAside]:
        """Of all loops, or of the one asked for."""
        return aside.rows_of(self.request.query_params.get("loop", ""))
