"""REST: one run, what is asked of it, and the same for several at once."""

from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib.errors import NotFound
from core.lib.rest import valid
from pipelines import (
    asset_events,
    failures,
    previews,
    queries,
    run_changes,
    selected,
)
from pipelines.list_api import WAIT, check_wait
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
    TakenEventListSerializer,
)
from pipelines.task_answers import TaskState
from pipelines.task_serializers import (
    FailureSerializer,
)


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
