"""REST: backfills, and what would run before one is started."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib import edge
from core.lib.pages import CursorPages
from core.lib.rest import valid
from pipelines import backfill_actions, backfill_queries, queries
from pipelines.backfill_answers import WantedBackfill
from pipelines.backfill_models import Backfill
from pipelines.backfill_serializers import (
    BackfillPreviewSerializer,
    BackfillRequestSerializer,
    BackfillSerializer,
    BackfillValuesSerializer,
)
from pipelines.run_serializers import NothingSerializer

STATE = OpenApiParameter("state", str, description="One state, or `open` for those that are not over")


def _wanted(dag_id: str, given: dict[str, Any], body: Any) -> WantedBackfill:
    """body: as it came, which tells what clocks show."""
    if queries.pipeline(dag_id).is_partitioned:
        clocks = {name: edge.wall_clock(str(body[name])) for name in ("from_date", "to_date")}
        given |= {name: at for name, at in clocks.items() if at is not None}
    return WantedBackfill(dag_id, **given)


def _shown(row: Backfill, *, status: int = 200) -> Response:
    [found] = backfill_queries.with_progress([row])
    return Response(BackfillSerializer(found).data, status=status)


class BackfillPages(CursorPages):
    """Newest first."""

    ordering = ("-created_at", "-pk")  # type: ignore[assignment]  # the base class has one


class _BackfillListView(generics.ListAPIView):
    serializer_class = BackfillSerializer
    pagination_class = BackfillPages
    queryset = Backfill.objects.none()

    def get_serializer(self, *args: Any, **options: Any) -> BaseSerializer:
        """Of a page, with how far each is."""
        rows = [backfill_queries.with_progress(found) for found in args]
        return BackfillSerializer(*rows, **options)


@extend_schema_view(get=extend_schema(parameters=[STATE]))
class BackfillListView(_BackfillListView):
    """Backfills of all pipelines."""

    def get_queryset(self) -> QuerySet[Backfill]:
        """Newest first; `?state=` narrows it."""
        return backfill_queries.backfills(state=self.request.query_params.get("state", ""))


@extend_schema_view(get=extend_schema(parameters=[STATE]))
class PipelineBackfillListView(_BackfillListView):
    """Backfills of one pipeline."""

    def get_queryset(self) -> QuerySet[Backfill]:
        """Newest first; `?state=` narrows it."""
        if getattr(self, "swagger_fake_view", False):
            return Backfill.objects.none()
        dag_id = queries.pipeline(self.kwargs["dag_id"]).dag_id
        state = self.request.query_params.get("state", "")
        return backfill_queries.backfills(dag_id=dag_id, state=state)

    @extend_schema(request=BackfillRequestSerializer, responses={202: BackfillSerializer})
    def post(self, request: Request, dag_id: str) -> Response:
        """Run the pipeline for past dates. The row answers at once; Airflow gets it as soon as it answers."""
        given = valid(BackfillRequestSerializer, request.data)
        reason = given.pop("reason")
        row = backfill_actions.start(_wanted(dag_id, given, request.data), reason=reason, by=user_of(request))
        return _shown(row, status=202)


class BackfillPreviewView(APIView):
    """What a backfill would run."""

    @extend_schema(request=BackfillValuesSerializer, responses=BackfillPreviewSerializer)
    def post(self, request: Request, dag_id: str) -> Response:
        """The dates, the first 100 of them, asked of Airflow now; nothing is done."""
        given = valid(BackfillValuesSerializer, request.data)
        found = backfill_actions.preview(_wanted(dag_id, given, request.data), by=user_of(request))
        return Response(BackfillPreviewSerializer(found).data)


class BackfillDetailView(APIView):
    @extend_schema(responses=BackfillSerializer)
    def get(self, _request: Request, backfill_id: int) -> Response:
        """As it stands, with its runs counted by state."""
        return _shown(backfill_queries.backfill(backfill_id))


class BackfillPauseView(APIView):
    """Holding a backfill up."""

    @extend_schema(request=NothingSerializer, responses={202: BackfillSerializer})
    def post(self, request: Request, backfill_id: int) -> Response:
        """No more of its runs begin; those that run go on."""
        valid(NothingSerializer, request.data)
        return _shown(backfill_actions.pause(backfill_id, by=user_of(request)), status=202)


class BackfillUnpauseView(APIView):
    """Going on with a backfill."""

    @extend_schema(request=NothingSerializer, responses={202: BackfillSerializer})
    def post(self, request: Request, backfill_id: int) -> Response:
        """Its queued runs begin again, one after the other."""
        valid(NothingSerializer, request.data)
        return _shown(backfill_actions.unpause(backfill_id, by=user_of(request)), status=202)


class BackfillCancelView(APIView):
    """Ending a backfill."""

    @extend_schema(request=NothingSerializer, responses={202: BackfillSerializer})
    def post(self, request: Request, backfill_id: int) -> Response:
        """Its queued runs fail; those that run go on to their end."""
        valid(NothingSerializer, request.data)
        return _shown(backfill_actions.cancel(backfill_id, by=user_of(request)), status=202)
