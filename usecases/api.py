"""REST: the use cases, and what each has collected and decided."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib.pages import CursorPages
from core.lib.rest import valid
from usecases import actions, catalogue, queries
from usecases import serializers as shapes
from usecases.models import Batch, Decision, LoadTest, RejectedRow


class UseCaseListView(APIView):
    """What the product brings to try it by."""

    @extend_schema(operation_id="usecases_list", responses=shapes.UseCaseListSerializer)
    def get(self, _request: Request) -> Response:
        """All of them, in one page."""
        page = {"results": catalogue.USECASES, "next": None}
        return Response(shapes.UseCaseListSerializer(page).data)


class UseCaseDetailView(APIView):
    @extend_schema(responses=shapes.UseCaseSerializer)
    def get(self, _request: Request, name: str) -> Response:
        """What it consists of."""
        return Response(shapes.UseCaseSerializer(catalogue.find(name)).data)


class BatchListView(generics.ListAPIView):
    """What came in, newest first."""

    serializer_class = shapes.BatchSerializer

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """503 while the database of the use cases is away."""
        with queries.reachable():
            return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Batch]:
        """Of one use case."""
        return queries.batches(catalogue.find(self.kwargs["name"]).name)


class RejectedRowPages(CursorPages):
    """In the order of the batch."""

    ordering = "position"


class RejectedListView(generics.ListAPIView):
    """Rows of a batch that could not be taken, with their reasons, in their order."""

    serializer_class = shapes.RejectedRowSerializer
    pagination_class = RejectedRowPages

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """503 while the database of the use cases is away."""
        with queries.reachable():
            return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[RejectedRow]:
        """Of one batch."""
        usecase = catalogue.find(self.kwargs["name"])
        return queries.rejected(queries.batch(usecase.name, self.kwargs["batch_id"]))

    def get_serializer_context(self) -> dict[str, Any]:
        """Says whether the rows are shown to whoever asks."""
        usecase = catalogue.find(self.kwargs["name"])
        return {
            **super().get_serializer_context(),
            "shows_rows": queries.shows_rows(usecase, self.request.user),
        }


class DecisionListView(generics.ListAPIView):
    """Decisions with their reasons, newest first."""

    serializer_class = shapes.DecisionSerializer

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """503 while the database of the use cases is away."""
        with queries.reachable():
            return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Decision]:
        """Of one use case."""
        return queries.decisions(catalogue.find(self.kwargs["name"]).name)


class FeaturesView(APIView):
    """What the feature store holds of one thing."""

    @extend_schema(
        operation_id="features_retrieve",
        parameters=[
            OpenApiParameter(
                "id", str, OpenApiParameter.PATH, description="Any text; slashes may stand in it"
            ),
            OpenApiParameter("version", str, description="Of the features; the newest unless it is named"),
        ],
        responses=shapes.FeaturesSerializer,
    )
    def get(self, request: Request, entity: str, id: str) -> Response:
        """Its values with their times. 404 too when they have expired, 503 while Redis is away."""
        found = queries.features(entity, id, request.query_params.get("version", ""))
        return Response(shapes.FeaturesSerializer(found).data)


class LoadTestListView(generics.ListAPIView):
    """Load tests of a use case's model, newest first."""

    serializer_class = shapes.LoadTestSerializer

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """503 while the database of the use cases is away."""
        with queries.reachable():
            return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[LoadTest]:
        """Of one use case."""
        return queries.load_tests(catalogue.find(self.kwargs["name"]).name)

    @extend_schema(request=shapes.NewLoadTestSerializer, responses={202: shapes.LoadTestSerializer})
    def post(self, request: Request, name: str) -> Response:
        """Ask for one; 409 while another waits or runs, and where no version answers. Needs `predict` too."""
        usecase = catalogue.find(name)
        given = valid(shapes.NewLoadTestSerializer, request.data)
        with queries.reachable():
            test = actions.request_load_test(usecase, **given, by=user_of(request))
        return Response(shapes.LoadTestSerializer(test).data, status=202)
