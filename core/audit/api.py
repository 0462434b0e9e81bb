"""The audit trail over REST."""

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.audit import queries
from core.audit.forms import EntryFilters
from core.audit.models import AuditEntry
from core.audit.serializers import ChainSerializer, EntrySerializer

TEXT_FILTERS = ("actor", "action", "object_type", "object", "request_id")
TIME_FILTERS = ("since", "until")


@extend_schema_view(
    get=extend_schema(
        operation_id="audit_list",
        parameters=[
            *(OpenApiParameter(name, OpenApiTypes.STR) for name in TEXT_FILTERS),
            *(OpenApiParameter(name, OpenApiTypes.DATETIME) for name in TIME_FILTERS),
        ],
    )
)
class EntryList(ListAPIView):
    """Who did what, newest first. `action` takes a whole action, or its first word for all of that kind."""

    serializer_class = EntrySerializer

    def get_queryset(self) -> QuerySet[AuditEntry]:
        """Entries that fit the filters of the URL."""
        return queries.matching(EntryFilters(self.request.query_params).filters_or_raise())


class ChainDetail(APIView):
    """The seals over the trail."""

    @extend_schema(operation_id="audit_chain", responses=ChainSerializer)
    def get(self, request: Request) -> Response:
        """The newest seal, to be noted elsewhere, and how many entries wait for the next."""
        return Response(ChainSerializer(queries.chain()).data)
