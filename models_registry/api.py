"""REST: experiments and runs, models and versions, gates and the ledger."""

from operator import attrgetter
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access import policy
from core.access.http import user_of
from core.lib import edge
from core.lib.errors import NotFound
from core.lib.pages import CURSOR, FROM_NEXT, LIMIT, MOST, N_RESULTS, PAGE, CursorPages, listed
from core.lib.rest import valid
from models_registry import actions, gateway, queries, run_filter
from models_registry import serializers as shapes
from models_registry.gateway import check_path
from models_registry.models import ChampionPeriod, Experiment, MlflowRun, ModelVersion, RegisteredModel
from models_registry.states import VersionState


class NamePages(CursorPages):
    """By name."""

    ordering = "name"


class VersionPages(CursorPages):
    """Newest first."""

    ordering = "-version"


class PeriodPages(CursorPages):
    """Newest first."""

    ordering = "-since"


# --- experiments and runs


class ExperimentListView(generics.ListAPIView):
    """Experiments of MLflow."""

    serializer_class = shapes.ExperimentSerializer
    pagination_class = NamePages

    def get_queryset(self) -> QuerySet[Experiment]:
        """By name."""
        return queries.experiments().order_by("name")


@extend_schema(
    parameters=[
        OpenApiParameter("filter", str, description="metrics.accuracy > 0.8 and params.seed = '42'"),
        OpenApiParameter(
            "order", str, description="started_at, name, status, metrics.<key>, params.<key>; - turns"
        ),
    ]
)
class ExperimentRunListView(generics.ListAPIView):
    """Runs of an experiment, newest first unless ordered otherwise. A run that lacks a metric comes last."""

    serializer_class = shapes.MlflowRunSerializer

    def get_queryset(self) -> QuerySet[MlflowRun]:
        """Filtered and ordered as the URL says."""
        given = self.request.query_params
        runs = queries.experiment(self.kwargs["experiment_id"]).runs.filter(gone_at=None)
        runs, order = run_filter.ordered(
            run_filter.matching(runs, given.get("filter", "")), given.get("order", "")
        )
        assert isinstance(self.paginator, CursorPages)
        self.paginator.ordering = order  # type: ignore[assignment]
        return runs


class MlflowRunDetailView(APIView):
    @extend_schema(responses=shapes.MlflowRunSerializer)
    def get(self, request: Request, run_id: str) -> Response:
        """Parameters, latest metrics, tags."""
        return Response(shapes.MlflowRunSerializer(queries.run(run_id)).data)


class MlflowRunMetricView(APIView):
    """The history of one metric."""

    @extend_schema(responses=shapes.PointsSerializer)
    def get(self, request: Request, run_id: str, key: str) -> Response:
        """From MLflow itself."""
        if key not in queries.run(run_id).metrics:
            raise NotFound(_("This run has no metric %(key)s.") % {"key": key})
        found = gateway.connect().metric_history(run_id, key)
        answer = {
            "key": key,
            "is_sample": found.is_sample,
            "n_not_finite": found.n_not_finite,
            "results": found.points,
        }
        return Response(shapes.PointsSerializer(answer).data)


class MlflowRunArtifactsView(APIView):
    """Files of a run."""

    @extend_schema(
        parameters=[
            OpenApiParameter("path", str),
            OpenApiParameter(CURSOR, str, description=FROM_NEXT),
            OpenApiParameter(LIMIT, int, description=f"{N_RESULTS} {PAGE} unless told, at most {MOST}."),
        ],
        responses=shapes.FilesSerializer,
    )
    def get(self, request: Request, run_id: str) -> Response:
        """Those in the folder `path`, from MLflow itself."""
        folder = check_path(request.query_params.get("path", ""))
        files = gateway.connect().list_files(queries.run(run_id).artifact_uri, folder)
        page, next_ = listed(request, files, place=attrgetter("place"), of=f"files {run_id} {folder}")
        return Response(shapes.FilesSerializer({"results": page, "next": next_}).data)


# --- models and versions


class ModelListView(generics.ListAPIView):
    """Registered models."""

    serializer_class = shapes.ModelSerializer
    pagination_class = NamePages

    def get_queryset(self) -> QuerySet[RegisteredModel]:
        """By name."""
        return queries.models()


class ModelDetailView(APIView):
    @extend_schema(responses=shapes.ModelSerializer)
    def get(self, request: Request, name: str) -> Response:
        """With its champion by the ledger."""
        return Response(shapes.ModelSerializer(queries.model(name)).data)

    @extend_schema(request=shapes.PolicySerializer, responses=shapes.ModelSerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Set who approves its promotions."""
        actions.set_policy(
            name, value=valid(shapes.PolicySerializer, request.data)["policy"], by=user_of(request)
        )
        return Response(shapes.ModelSerializer(queries.model(name)).data)


@extend_schema(parameters=[OpenApiParameter("state", str, enum=VersionState.values)])
class VersionListView(generics.ListAPIView):
    """Versions of a model, newest first; archived ones only by `?state=archived`."""

    serializer_class = shapes.VersionSerializer
    pagination_class = VersionPages

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """Raises NotFound for an unknown model."""
        name = self.kwargs["name"]
        if not queries.exists(name):
            raise NotFound(_("There is no model %(name)s.") % {"name": name})
        return queries.listed_versions(name, self.request.query_params.get("state", ""))


class VersionDetailView(APIView):
    @extend_schema(responses=shapes.VersionDetailSerializer)
    def get(self, request: Request, name: str, version: int) -> Response:
        """With its newest gate, null when nobody has asked for one."""
        return Response(_version_data(queries.version(name, version)))


def _version_data(row: ModelVersion) -> dict[str, Any]:
    row.gate = queries.last_gate(row)  # type: ignore[attr-defined]
    return dict(shapes.VersionDetailSerializer(row).data)


class VersionGateView(APIView):
    @extend_schema(request=shapes.NothingSerializer, responses={202: shapes.GateSerializer})
    def post(self, request: Request, name: str, version: int) -> Response:
        """Have a worker judge it; 409 while one is at work."""
        valid(shapes.NothingSerializer, request.data)
        gate = actions.ask_gate(name, version, by=user_of(request))
        return Response(shapes.GateSerializer(gate).data, status=202)


class VersionOverrideView(APIView):
    """A failed gate, overridden by an admin."""

    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.VersionDetailSerializer)
    def post(self, request: Request, name: str, version: int) -> Response:
        """The version counts as passed, and is marked for ever."""
        reason = valid(shapes.ReasonSerializer, request.data)["reason"]
        return Response(
            _version_data(actions.override_gate(name, version, reason=reason, by=user_of(request)))
        )


class VersionArchiveView(APIView):
    """A version put aside."""

    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.VersionDetailSerializer)
    def post(self, request: Request, name: str, version: int) -> Response:
        """Its open promotion request is withdrawn; 409 for the champion, and while its gate is at work."""
        reason = valid(shapes.ReasonSerializer, request.data)["reason"]
        return Response(_version_data(actions.archive(name, version, reason=reason, by=user_of(request))))


class VersionUnarchiveView(APIView):
    """A version brought back."""

    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.VersionDetailSerializer)
    def post(self, request: Request, name: str, version: int) -> Response:
        """As retired when it was champion once, else as a candidate: its gate has to run again."""
        reason = valid(shapes.ReasonSerializer, request.data)["reason"]
        return Response(_version_data(actions.unarchive(name, version, reason=reason, by=user_of(request))))


@extend_schema(parameters=[OpenApiParameter("at", OpenApiTypes.DATETIME)])
class ModelHistoryView(generics.ListAPIView):
    """The ledger of a model: who was champion, newest first; `at` leaves who was then."""

    serializer_class = shapes.PeriodSerializer
    pagination_class = PeriodPages

    def get_queryset(self) -> QuerySet[ChampionPeriod]:
        """Raises NotFound for an unknown model."""
        name = self.kwargs["name"]
        if not queries.exists(name):
            raise NotFound(_("There is no model %(name)s.") % {"name": name})
        at = self.request.query_params.get("at")
        return queries.history(name, None if at is None else edge.moment(at, "at"))


class ModelSpecView(APIView):
    """What a model takes and answers."""

    @extend_schema(
        parameters=[OpenApiParameter("version", int)],
        responses={(200, "application/json"): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        """serving/spec.json of the champion, byte for byte, for who may see or predict.

        `version` asks for that of another one, which takes `see`.
        """
        given = request.query_params.get("version")
        if given is not None or not policy.allows(request.user, "predict"):
            policy.check(request.user, "see", name)
        version = None if given is None else edge.whole(given, "version", least=1)
        text = queries.spec_json(name, version)
        if text is None:
            raise NotFound(_("%(name)s has no champion, or the version has no spec.") % {"name": name})
        return HttpResponse(text, content_type="application/json")
