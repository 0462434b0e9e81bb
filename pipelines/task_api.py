"""REST: tasks of a run, their logs and values, and the questions that tasks ask people."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib import edge
from core.lib.pages import CURSOR, FROM_NEXT, CursorPages, with_cursor
from core.lib.rest import valid, valid_query
from pipelines import (
    log_reading,
    queries,
    run_changes,
    task_facts,
)
from pipelines.models import InputRequest, TaskInstance
from pipelines.spool import LEVELS, Wanted
from pipelines.task_serializers import (
    InputAnswerSerializer,
    InputRequestSerializer,
    LogQuerySerializer,
    LogSerializer,
    TaskAboutSerializer,
    TaskInstanceSerializer,
    TaskQuerySerializer,
    TaskTextListSerializer,
    TaskTryListSerializer,
    TaskXComListSerializer,
    XComQuerySerializer,
)

LINES = 1000
INPUT_STATES = ("open", "closed")


class TaskPages(CursorPages):
    """In the order of the graph, instances of a mapped task by their index."""

    ordering = ("place", "task_id", "map_index")  # type: ignore[assignment]  # the base class has one


class RunTaskListView(generics.ListAPIView):
    """Tasks of a run, each instance of a mapped one."""

    serializer_class = TaskInstanceSerializer
    pagination_class = TaskPages

    def get_queryset(self) -> QuerySet[TaskInstance]:
        """In the order of the graph."""
        if getattr(self, "swagger_fake_view", False):
            return TaskInstance.objects.none()
        return queries.task_instances(queries.run(self.kwargs["run_id"]))


class TaskLogView(APIView):
    """The log of one try of a task."""

    @extend_schema(
        responses=LogSerializer,
        parameters=[
            OpenApiParameter("try", int, description="The latest when left out"),
            OpenApiParameter("map_index", int, description="-1 unless the task is mapped"),
            OpenApiParameter("cursor", str, description="Of the answer before; the start when left out"),
            OpenApiParameter(
                "tail", int, description="This many of the last lines instead, 1,000 at most; no cursor then"
            ),
            OpenApiParameter("level", str, enum=[*LEVELS], description="That level or worse; the last 1,000"),
            OpenApiParameter("q", str, description="With this text; the last 1,000"),
            OpenApiParameter("before", str, description="Further back: `start` of such an answer"),
        ],
    )
    def get(self, request: Request, run_id: int, task_id: str) -> Response:
        """At most 1,000 lines; of a very long log only the end is kept.

        While `is_complete` is false, ask again with the cursor for what follows: callbacks and mails of a try
        write into its log after it has ended.
        """
        given = valid_query(LogQuerySerializer, request)
        view = log_reading.open_log(
            queries.run(run_id), task_id, map_index=given["map_index"], try_number=given.get("try")
        )
        wanted = Wanted(LEVELS.get(given["level"], frozenset()), given["q"].strip())
        if wanted or given.get("tail") or given.get("before"):
            before = int(given["before"]) if given.get("before") else None
            piece = view.tail(limit=given.get("tail") or LINES, before=before, wanted=wanted)
        else:
            piece = view.read(int(given["cursor"]), limit=LINES)
        is_last = piece.end >= view.size_bytes
        answer = {
            "lines": piece.lines,
            "cursor": str(piece.end),
            "start": str(piece.start),
            "has_end": view.has_end and is_last,
            "is_complete": view.is_complete and is_last,
            "n_missing_lines": view.cut.n_lines,
        }
        return Response(LogSerializer(answer).data)


MAP_INDEX = OpenApiParameter("map_index", int, description="-1 unless the task is mapped")


def _index(request: Request) -> int:
    return int(valid_query(TaskQuerySerializer, request)["map_index"])


class TaskTriesView(APIView):
    @extend_schema(responses=TaskTryListSerializer, parameters=[MAP_INDEX])
    def get(self, request: Request, run_id: int, task_id: str) -> Response:
        """Every try of a task, asked of Airflow now or some seconds ago."""
        found = task_facts.tries(queries.run(run_id), task_id, _index(request))
        return Response(TaskTryListSerializer({"results": found}).data)


class TaskDetailsView(APIView):
    @extend_schema(responses=TaskAboutSerializer, parameters=[MAP_INDEX])
    def get(self, request: Request, run_id: int, task_id: str) -> Response:
        """Trigger rule, retries, doc_md, host, pool, note and links, asked of Airflow now or lately."""
        found = task_facts.about(queries.run(run_id), task_id, _index(request))
        return Response(TaskAboutSerializer(found).data)


class TaskXComsView(APIView):
    @extend_schema(
        responses=TaskXComListSerializer,
        parameters=[MAP_INDEX, OpenApiParameter(CURSOR, str, description=FROM_NEXT)],
    )
    def get(self, request: Request, run_id: int, task_id: str) -> Response:
        """What the task left for others by key, 30 at a time, asked of Airflow now or some seconds ago."""
        given = valid_query(XComQuerySerializer, request)
        run, start = queries.run(run_id), int(given["cursor"])
        box = task_facts.xcoms(run, task_id, given["map_index"], start)
        following = None if box.next_start is None else with_cursor(request, str(box.next_start))
        return Response(
            TaskXComListSerializer({"results": box.texts, "n_all": box.n_all, "next": following}).data
        )


class TaskRenderedView(APIView):
    @extend_schema(responses=TaskTextListSerializer, parameters=[MAP_INDEX])
    def get(self, request: Request, run_id: int, task_id: str) -> Response:
        """What the task's templates came to, by field, asked of Airflow now or some seconds ago."""
        found = task_facts.rendered(queries.run(run_id), task_id, _index(request))
        return Response(TaskTextListSerializer({"results": found}).data)


class InputPages(CursorPages):
    """The longest waiting first; of those that are over the latest."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        """The page that the address asks for."""
        self.ordering = ("asked_at", "pk") if _is_open(request) else ("-closed_at", "-pk")
        return super().paginate_queryset(queryset, request, view)


def _is_open(request: Request) -> bool:
    """Whether open questions are asked for. Raises InvalidRequest."""
    state = request.query_params.get("state") or "open"
    if state not in INPUT_STATES:
        message = _("Give one of these: %(choices)s.") % {"choices": ", ".join(INPUT_STATES)}
        raise edge.refused("state", message)
    return state == "open"


@extend_schema_view(
    get=extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=list(INPUT_STATES), description="`open` when left out")
        ]
    )
)
class InputListView(generics.ListAPIView):
    """Questions of tasks: those that wait for an answer, or those that are over."""

    serializer_class = InputRequestSerializer
    pagination_class = InputPages

    def get_queryset(self) -> QuerySet[InputRequest]:
        """The longest waiting first; of those that are over the latest."""
        return queries.inputs(is_open=_is_open(self.request))


class InputDetailView(APIView):
    @extend_schema(responses=InputRequestSerializer)
    def get(self, _request: Request, input_id: int) -> Response:
        """A question, open or over, with its answer and what became of that."""
        return Response(InputRequestSerializer(queries.input_request(input_id)).data)


class InputAnswerView(APIView):
    """Answering a task's question."""

    @extend_schema(request=InputAnswerSerializer, responses={202: InputRequestSerializer})
    def post(self, request: Request, input_id: int) -> Response:
        """One option, or several where the question says so, and the values that it asks for.

        Values that are left out get their defaults. What becomes of the answer the question itself tells.
        """
        given = valid(InputAnswerSerializer, request.data)
        row = run_changes.answer_input(input_id, **given, by=user_of(request))
        return Response(InputRequestSerializer(row).data, status=202)
