"""REST: applications, jobs and their logs."""

import uuid
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib import idempotency
from core.lib.errors import InvalidRequest
from core.lib.rest import valid, valid_query
from jobs import actions, applications, logs, queries, schedules
from jobs import serializers as shapes
from jobs.models import Job, JobSchedule, JobState


class SparkAppListView(APIView):
    """Applications that may be submitted."""

    @extend_schema(operation_id="spark_apps_list", responses=shapes.SparkAppListSerializer)
    def get(self, _request: Request) -> Response:
        """With their parameters, by name, in one page."""
        return Response(shapes.SparkAppListSerializer({"results": applications.all()}).data)


class JobListView(generics.ListAPIView):
    """Jobs, newest first."""

    serializer_class = shapes.JobSerializer

    @extend_schema(
        parameters=[
            OpenApiParameter("state", str, enum=JobState.values),
            OpenApiParameter("app", str),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """`?state=` and `?app=` narrow it."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Job]:
        """As the query says."""
        given = self.request.query_params
        state = given.get("state", "")
        if state and state not in JobState.values:
            message = _("There is no such state; these are: %(all)s.") % {"all": ", ".join(JobState.values)}
            raise InvalidRequest(message, errors=[{"field": "state", "message": message}])
        return queries.recent_jobs(state=state, app=given.get("app", "").replace("\x00", ""))

    @extend_schema(request=shapes.NewJobSerializer, responses={202: shapes.JobSerializer})
    def post(self, request: Request) -> Response:
        """Submit an application. The row answers at once; it starts as soon as there is a place."""
        given = valid(shapes.NewJobSerializer, request.data)
        key = request.headers.get("Idempotency-Key", "")
        job, is_new = actions.submit_once(given.pop("app"), key, by=user_of(request), **given)
        return Response(shapes.JobSerializer(job).data, status=202, headers=idempotency.headers(is_new))


class JobDetailView(APIView):
    @extend_schema(responses=shapes.JobSerializer)
    def get(self, _request: Request, job_id: uuid.UUID) -> Response:
        """As it stands."""
        return Response(shapes.JobSerializer(queries.job(job_id)).data)


class JobCancelView(APIView):
    """Ending a job."""

    @extend_schema(request=shapes.NothingSerializer, responses={202: shapes.JobSerializer})
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """Its processes are ended. Asking again is no harm; 409 when it ended by itself."""
        valid(shapes.NothingSerializer, request.data)
        job = actions.cancel_job(queries.job(job_id), by=user_of(request))
        return Response(shapes.JobSerializer(job).data, status=202)


class JobRestartView(APIView):
    """A streaming job, once more."""

    @extend_schema(request=shapes.NothingSerializer, responses={202: shapes.JobSerializer})
    def post(self, request: Request, job_id: uuid.UUID) -> Response:
        """A new job with the same parameters goes on from the checkpoint; 409 until the old one ended."""
        valid(shapes.NothingSerializer, request.data)
        job = actions.restart_job(queries.job(job_id), by=user_of(request))
        return Response(shapes.JobSerializer(job).data, status=202)


class JobScheduleListView(generics.ListAPIView):
    """Jobs that come again by themselves, newest first."""

    serializer_class = shapes.JobScheduleSerializer

    def get_queryset(self) -> QuerySet[JobSchedule]:
        """All."""
        return queries.schedules()

    @extend_schema(request=shapes.NewJobScheduleSerializer, responses={201: shapes.JobScheduleSerializer})
    def post(self, request: Request) -> Response:
        """Submit a job whenever the cron text says so, in your name."""
        given = valid(shapes.NewJobScheduleSerializer, request.data)
        made = schedules.create(given.pop("app"), cron_text=given.pop("cron"), by=user_of(request), **given)
        return Response(shapes.JobScheduleSerializer(made).data, status=201)


class JobScheduleDetailView(APIView):
    """One of them."""

    @extend_schema(request=shapes.JobScheduleChangeSerializer, responses=shapes.JobScheduleSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        """Pause it, or let it go on."""
        given = valid(shapes.JobScheduleChangeSerializer, request.data)
        changed = schedules.set_paused(queries.schedule(pk), by=user_of(request), **given)
        return Response(shapes.JobScheduleSerializer(changed).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Its jobs stay."""
        schedules.delete(queries.schedule(pk), by=user_of(request))
        return Response(status=204)


class JobLogView(APIView):
    """What the driver of a job wrote."""

    @extend_schema(
        parameters=[
            OpenApiParameter("cursor", str, description="Of the answer before; the start when left out"),
            OpenApiParameter(
                "try", int, description="The newest when left out; a cursor belongs to the try it came with"
            ),
        ],
        responses=shapes.JobLogSerializer,
    )
    def get(self, request: Request, job_id: uuid.UUID) -> Response:
        """At most 64 KiB. While `is_complete` is false, ask again with the cursor for what follows."""
        given = valid_query(shapes.LogQuerySerializer, request)
        job = queries.job(job_id)
        attempt = logs.attempt_of(job, given["attempt"])
        piece = logs.read(job, given["byte"], attempt=attempt)
        cursor = f"{attempt}.{piece.next_cursor}"
        answer = {"text": piece.text, "cursor": cursor, "is_complete": piece.is_end}
        return Response(shapes.JobLogSerializer(answer).data)
