"""REST: pipelines, what Airflow cannot read, assets, presets."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib import edge
from core.lib.errors import NotFound
from core.lib.pages import CursorPages
from core.lib.rest import valid
from pipelines import (
    actions,
    asset_events,
    listing,
    queries,
    starting,
)
from pipelines.asset_models import Asset, AssetEvent
from pipelines.models import ImportFault, Pipeline
from pipelines.serializers import (
    AssetEventSerializer,
    AssetSerializer,
    DurationsSerializer,
    ImportFaultSerializer,
    PipelineChangeSerializer,
    PipelineDetailSerializer,
    PipelineSourceSerializer,
    PresetListSerializer,
    PresetRequestSerializer,
    PresetSerializer,
    SwitchedListSerializer,
    SwitchesSerializer,
)


class ImportFaultPages(CursorPages):
    """By file name."""

    ordering = ("filename", "airflow_id")  # type: ignore[assignment]  # the base class has one


class AssetPages(CursorPages):
    """By name."""

    ordering = ("name", "airflow_id")  # type: ignore[assignment]  # the base class has one


class PipelineSwitchesView(APIView):
    """The switches of several pipelines."""

    @extend_schema(
        request=SwitchesSerializer, responses={200: SwitchedListSerializer, 202: SwitchedListSerializer}
    )
    def post(self, request: Request) -> Response:
        """Pause or resume each; `error` says of which that could not be done, and why.

        `dry_run` answers 200 with the same list, and changes nothing.
        """
        given = valid(SwitchesSerializer, request.data)
        if given["dry_run"]:
            moved, stays = listing.switched(given["dag_ids"], is_paused=given["is_paused"])
            told = {pipeline.dag_id: "" for pipeline in moved} | {name: str(why) for name, why in stays}
            results = [{"dag_id": name, "error": told[name]} for name in dict.fromkeys(given["dag_ids"])]
            return Response(SwitchedListSerializer({"results": results}).data)
        outcomes = actions.set_many_paused(
            given["dag_ids"], is_paused=given["is_paused"], by=user_of(request)
        )
        return Response(SwitchedListSerializer({"results": outcomes}).data, status=202)


class ImportFaultListView(generics.ListAPIView):
    """DAG files that Airflow cannot read."""

    serializer_class = ImportFaultSerializer
    pagination_class = ImportFaultPages

    def get_queryset(self) -> QuerySet[ImportFault]:
        """By file name."""
        return listing.import_faults()


class PipelineDetailView(APIView):
    @extend_schema(responses=PipelineDetailSerializer)
    def get(self, _request: Request, dag_id: str) -> Response:
        """With parameters and graph."""
        return Response(PipelineDetailSerializer(_told(dag_id)).data)

    @extend_schema(request=PipelineChangeSerializer, responses={202: PipelineDetailSerializer})
    def patch(self, request: Request, dag_id: str) -> Response:
        """Pause or resume its schedule; Airflow is told at once or as soon as it answers."""
        given = valid(PipelineChangeSerializer, request.data)
        actions.set_paused(dag_id, is_paused=given["is_paused"], by=user_of(request))
        return Response(PipelineDetailSerializer(_told(dag_id)).data, status=202)


def _told(dag_id: str) -> Pipeline:
    return listing.with_last_run(Pipeline.objects.filter(pk=queries.pipeline(dag_id).pk)).get()


class PipelineDurationsView(APIView):
    """How long the runs of a pipeline take."""

    @extend_schema(responses=DurationsSerializer)
    def get(self, _request: Request, dag_id: str) -> Response:
        """The newest runs, the median of those that succeeded, and the tasks that take most."""
        queries.pipeline(dag_id)
        found = {
            "median_s": queries.median_duration_s(dag_id),
            "runs": queries.timed_runs(dag_id),
            "slowest_tasks": queries.slowest_tasks(dag_id),
        }
        return Response(DurationsSerializer(found).data)


class PipelineSourceView(APIView):
    """The code of a pipeline."""

    @extend_schema(
        responses=PipelineSourceSerializer,
        parameters=[OpenApiParameter("version", int, description="The newest that is known when left out")],
    )
    def get(self, request: Request, dag_id: str) -> Response:
        """As it was when Airflow took that version."""
        wanted = request.query_params.get("version")
        version = None if wanted is None else edge.whole(wanted, "version")
        found, versions = queries.source(queries.pipeline(dag_id).dag_id, version)
        if found is None or version not in {None, found.version}:
            raise NotFound(_("This version of the code of “%(dag_id)s” is not known.") % {"dag_id": dag_id})
        return Response(PipelineSourceSerializer(found, context={"versions": versions}).data)


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter("q", str, description="In the name or the address"),
            OpenApiParameter("producer", str, description="Made by this pipeline"),
            OpenApiParameter("consumer", str, description="Waited for by this pipeline"),
        ]
    )
)
class AssetListView(generics.ListAPIView):
    """What tasks make and pipelines wait for."""

    serializer_class = AssetSerializer
    pagination_class = AssetPages

    def get_queryset(self) -> QuerySet[Asset]:
        """By name, as the address asks for them."""
        given = self.request.query_params
        ends = {name: given.get(name, "") for name in ("producer", "consumer")}
        return queries.assets(text=given.get("q", ""), **ends)


class AssetDetailView(APIView):
    @extend_schema(responses=AssetSerializer)
    def get(self, _request: Request, asset_id: int) -> Response:
        """With the tasks and pipelines at both its ends."""
        return Response(AssetSerializer(asset_events.asset(asset_id)).data)


class AssetEventPages(CursorPages):
    """Newest first."""

    ordering = ("-at", "-airflow_id")  # type: ignore[assignment]  # the base class has one


class AssetEventListView(generics.ListAPIView):
    """When an asset changed, what made that, and what it began."""

    serializer_class = AssetEventSerializer
    pagination_class = AssetEventPages

    def get_queryset(self) -> QuerySet[AssetEvent]:
        """Newest first."""
        if getattr(self, "swagger_fake_view", False):
            return AssetEvent.objects.none()
        return asset_events.events(asset_events.asset(self.kwargs["asset_id"]))

    def get_serializer(self, *args: Any, **options: Any) -> BaseSerializer:
        """Of a page, with the runs at both ends."""
        rows = [asset_events.with_runs(rows) for rows in args]
        return AssetEventSerializer(*rows, **options)


class PresetListView(APIView):
    """Settings of a pipeline that are kept under a name."""

    @extend_schema(responses=PresetListSerializer)
    def get(self, _request: Request, dag_id: str) -> Response:
        """By name."""
        found = starting.presets(queries.pipeline(dag_id))
        return Response(PresetListSerializer({"results": found}).data)

    @extend_schema(request=PresetRequestSerializer, responses={201: PresetSerializer})
    def post(self, request: Request, dag_id: str) -> Response:
        """Keep settings; those kept under the name before are replaced."""
        given = valid(PresetRequestSerializer, request.data)
        preset = actions.save_preset(dag_id, **given, by=user_of(request))
        return Response(PresetSerializer(preset).data, status=201)


class PresetDetailView(APIView):
    @extend_schema(responses=PresetSerializer)
    def get(self, _request: Request, preset_id: int) -> Response:
        """As it is kept."""
        return Response(PresetSerializer(starting.preset(preset_id)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, preset_id: int) -> Response:
        """Forget them; runs keep theirs."""
        actions.remove_preset(preset_id, by=user_of(request))
        return Response(status=204)
