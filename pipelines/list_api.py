"""REST: lists of pipelines and of runs, narrowed and ordered as the pages are; and asking for a run."""

from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response

from core.access.http import user_of
from core.lib import edge
from core.lib.pages import CursorPages
from core.lib.rest import valid
from pipelines import details, listing, queries, repeated, run_list
from pipelines.models import Pipeline, Run, RunState
from pipelines.run_filters import RunFilters
from pipelines.run_serializers import RunRequestSerializer, RunSerializer
from pipelines.serializers import PipelineSerializer

LONGEST_WAIT_S = 300
WAIT = OpenApiParameter(
    "wait",
    int,
    description="Seconds to wait for its end, 300 at most: then 200 with the ended run, or 202 as it stands",
)


def check_wait(request: Request) -> None:
    """The waiting itself is `console.waiting`'s."""
    if "wait" in request.query_params:
        edge.whole(request.query_params["wait"], "wait", most=LONGEST_WAIT_S)


class PipelinePages(CursorPages):
    """By name, or as `?order=` says."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """The page that the address asks for."""
        self.ordering = listing.columns(request.query_params.get("order", ""))
        return super().paginate_queryset(queryset, request, view)


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter("q", str, description="In the name or the description"),
            OpenApiParameter("tag", str, many=True, description="Several: those that have all of them"),
            OpenApiParameter("owner", str),
            OpenApiParameter("show", str, enum=list(listing.SHOWN)),
            OpenApiParameter("last", str, enum=list(listing.LAST), description="What became of its last run"),
            OpenApiParameter("order", str, enum=listing.ORDER_WORDS, description="`-` falls; by name else"),
        ]
    )
)
class PipelineListView(generics.ListAPIView):
    """Pipelines that Airflow has now."""

    serializer_class = PipelineSerializer
    pagination_class = PipelinePages

    def get_queryset(self) -> QuerySet[Pipeline]:
        """As the address asks for them, which is as on the page."""
        wanted = listing.Wanted.of(self.request.query_params)
        wanted.check()
        found = listing.with_last_run(listing.narrowed(wanted))
        return listing.ordered(found, wanted.order).defer(*listing.LONG)


class RunPages(CursorPages):
    """Newest first, or as `?order=` says."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """The page that the address asks for."""
        self.ordering = run_list.columns(request.query_params.get("order", ""))
        return super().paginate_queryset(queryset, request, view)


RUN_FILTERS = [
    OpenApiParameter(
        "q", str, description="In the run's id, its partition, its note, who asked; or our number of it"
    ),
    OpenApiParameter("state", str, enum=RunState.values),
    OpenApiParameter("type", str, enum=list(run_list.TYPES), description="What made it"),
    OpenApiParameter("by", str, description="Who asked; `me` is whoever calls"),
    OpenApiParameter("since", OpenApiTypes.DATETIME, description="Asked then or later; a day is one of UTC"),
    OpenApiParameter("until", OpenApiTypes.DATETIME, description="Asked before then; a day is included"),
    OpenApiParameter(
        "logical_since",
        OpenApiTypes.DATETIME,
        description="Of that logical date or a later one; a day is one of UTC",
    ),
    OpenApiParameter(
        "logical_until",
        OpenApiTypes.DATETIME,
        description="Of a logical date before then; a day is included",
    ),
    OpenApiParameter(
        "unmended",
        str,
        enum=["1"],
        description="Failed, and no later run of its partition succeeded, of its date where a schedule or a "
        "backfill made it, else of the pipeline",
    ),
    OpenApiParameter("backfill", int, description="Made by this backfill, by our number of it"),
    OpenApiParameter(
        "order",
        str,
        enum=[f"{sign}{name}" for name in run_list.ORDERS for sign in ("", "-")],
        description="`-` falls; `-created` when left out. Runs without a duration or logical date: last",
    ),
]


def _wanted(request: Request) -> run_list.Wanted:
    """Raises InvalidRequest."""
    given = request.query_params
    if given.keys().isdisjoint(RunFilters.base_fields):  # the form costs as much as ten rows
        return queries.ALL_RUNS
    return RunFilters(given).wanted(user_of(request))


def _shown(found: QuerySet[Run]) -> QuerySet[Run]:
    """With what the list shows of each, read together, and nothing else."""
    columns = set(RunSerializer.Meta.fields) - {"duration_s"}
    return found.select_related("requested_by").only(*columns, "requested_by__username")


@extend_schema_view(get=extend_schema(parameters=RUN_FILTERS))
class RunListView(generics.ListAPIView):
    """Runs of all pipelines, newest first."""

    serializer_class = RunSerializer
    pagination_class = RunPages

    def get_queryset(self) -> QuerySet[Run]:
        """As the address asks for them."""
        return _shown(queries.runs(_wanted(self.request)))


@extend_schema_view(get=extend_schema(parameters=RUN_FILTERS))
class PipelineRunListView(generics.ListAPIView):
    """Runs of one pipeline, newest first."""

    serializer_class = RunSerializer
    pagination_class = RunPages

    def get_queryset(self) -> QuerySet[Run]:
        """As the address asks for them."""
        if getattr(self, "swagger_fake_view", False):
            return Run.objects.none()
        dag_id = self.kwargs["dag_id"]
        queries.check_known(dag_id)
        return _shown(queries.runs(_wanted(self.request), dag_id=dag_id))

    @extend_schema(
        request=RunRequestSerializer, responses={200: RunSerializer, 202: RunSerializer}, parameters=[WAIT]
    )
    def post(self, request: Request, dag_id: str) -> Response:
        """Run the pipeline. The row answers at once; Airflow gets it now, or as soon as it answers."""
        check_wait(request)
        given = valid(RunRequestSerializer, request.data)
        key = request.headers.get("Idempotency-Key", "")
        trigger = partial(repeated.trigger_once, dag_id, key, **given, by=user_of(request))
        run = details.with_fresh(dag_id, trigger)
        return Response(RunSerializer(run).data, status=202)
