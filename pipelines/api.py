"""REST: pipelines, runs, tasks and their logs."""

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
from core.lib.pages import CURSOR, FROM_NEXT, CursorPages, with_cursor
from core.lib.rest import valid, valid_query
from pipelines import (
    actions,
    asset_events,
    failures,
    listing,
    log_reading,
    previews,
    queries,
    run_changes,
    selected,
    starting,
    task_facts,
)
from pipelines.asset_models import Asset, AssetEvent
from pipelines.list_api import WAIT, check_wait
from pipelines.models import ImportFault, InputRequest, Pipeline, TaskInstance
from pipelines.run_serializers import (
    ClearSerializer,
    MarkSerializer,
    NothingSerializer,
    RunChangeSerializer,
    RunSerializer,
    SelectedListSerializer,
    SelectedSerializer,
    TouchedTaskListSerializer,
)
from pipelines.scope import Scope
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
    TakenEventListSerializer,
)
from pipelines.spool import LEVELS, Wanted
from pipelines.task_answers import TaskState
from pipelines.task_serializers import (
    FailureSerializer,
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


class RunDetailView(APIView):
    @extend_schema(responses={200: RunSerializer, 202: RunSerializer}, parameters=[WAIT])
    def get(self, request: Request, run_id: int) -> Response:
        """As it stands."""
        check_wait(request)
        return Response(RunSerializer(queries.run(run_id)).data)

    @extend_schema(request=RunChangeSerializer, responses={202: RunSerializer})
    def patch(self, request: Request, run_id: int) -> Response:
        """Write its note; the row has it at once, Airflow as soon as it answers."""
        given = valid(RunChangeSerializer, request.data)
        run = run_changes.write_note(run_id, given["note"], by=user_of(request))
        return Response(RunSerializer(run).data, status=202)


class RunFailureView(APIView):
    @extend_schema(responses=FailureSerializer)
    def get(self, _request: Request, run_id: int) -> Response:
        """Why a run failed; 404 when neither it nor a task of it did."""
        found = failures.read(queries.run(run_id))
        if found is None:
            raise NotFound(_("No task of run %(id)s has failed.") % {"id": run_id})
        return Response(FailureSerializer(found).data)


class RunAssetEventsView(APIView):
    @extend_schema(responses=TakenEventListSerializer)
    def get(self, _request: Request, run_id: int) -> Response:
        """The events of assets that began a run; empty for one that something else began."""
        found = asset_events.of_run(queries.run(run_id))
        return Response(TakenEventListSerializer({"results": found}).data)


class RunCancelView(APIView):
    """Ending a run."""

    @extend_schema(request=NothingSerializer, responses={202: RunSerializer})
    def post(self, request: Request, run_id: int) -> Response:
        """Its running tasks are stopped."""
        valid(NothingSerializer, request.data)
        return Response(RunSerializer(run_changes.cancel_run(run_id, by=user_of(request))).data, status=202)


class RunWithdrawView(APIView):
    """Taking back what was asked of Airflow for a run."""

    @extend_schema(request=NothingSerializer, responses=RunSerializer)
    def post(self, request: Request, run_id: int) -> Response:
        """What `wish` says, which Airflow has not confirmed; what it has done of it by now stays.

        409 where nothing waits. A start is cancelled instead.
        """
        valid(NothingSerializer, request.data)
        return Response(RunSerializer(run_changes.withdraw_wish(run_id, by=user_of(request))).data)


class RunClearView(APIView):
    """Running tasks of a run again."""

    @extend_schema(request=ClearSerializer, responses={200: TouchedTaskListSerializer, 202: RunSerializer})
    def post(self, request: Request, run_id: int) -> Response:
        """All of an ended run, those that failed, or some, with those before or after them.

        `dry_run` answers 200 with the tasks that would run again, and changes nothing.
        """
        given = valid(ClearSerializer, request.data)
        is_dry, scope, by = given.pop("dry_run"), Scope(**given), user_of(request)
        if is_dry:
            return _touched(previews.of_clearing(queries.run(run_id), scope, by=by))
        return Response(RunSerializer(run_changes.clear_run(run_id, by=by, scope=scope)).data, status=202)


class RunMarkView(APIView):
    """Giving a run or a task a state by hand."""

    @extend_schema(request=MarkSerializer, responses={200: TouchedTaskListSerializer, 202: RunSerializer})
    def post(self, request: Request, run_id: int) -> Response:
        """The run itself, or tasks with those before or after them.

        `dry_run` answers 200 with the tasks that would get the state, and changes nothing.
        """
        given = valid(MarkSerializer, request.data)
        is_dry, state = given.pop("dry_run"), given.pop("state")
        scope, by = Scope(**given), user_of(request)
        if is_dry:
            return _touched(previews.of_marking(queries.run(run_id), scope, state, by=by))
        if scope.is_whole_run:
            run = run_changes.mark_run(run_id, state, by=by, scope=scope)
        else:
            run = run_changes.mark_task(run_id, scope, state, by=by)
        return Response(RunSerializer(run).data, status=202)


def _touched(tasks: list[TaskState]) -> Response:
    return Response(TouchedTaskListSerializer({"results": tasks}).data)


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


class RunsSelectedView(APIView):
    """Doing one thing to several runs."""

    @extend_schema(
        request=SelectedSerializer, responses={200: SelectedListSerializer, 202: SelectedListSerializer}
    )
    def post(self, request: Request) -> Response:
        """Each run has its own fate and its own audit entry. `dry_run` answers 200 and changes nothing."""
        given = valid(SelectedSerializer, request.data)
        do = selected.preview if given["dry_run"] else selected.apply
        found = do(given["what"], given["run_ids"], by=user_of(request))
        status = 200 if given["dry_run"] else 202
        return Response(SelectedListSerializer({"results": found.items}).data, status=status)
