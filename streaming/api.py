"""REST: streams and replays, from rows. Topics and groups are in `topic_api` and `group_api`."""

from datetime import datetime

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib import edge, idempotency
from core.lib.pages import CursorPages
from core.lib.rest import valid
from streaming import actions, queries
from streaming import serializers as shapes
from streaming.models import Anomaly, DeadLetter, Replay, Stream, Window


class NamePages(CursorPages):
    """By name."""

    ordering = "name"


class WindowPages(CursorPages):
    """Newest first."""

    ordering = ("-start", "group", "-shape")  # type: ignore[assignment]


# --- streams


class StreamListView(generics.ListAPIView):
    """Stream definitions."""

    serializer_class = shapes.StreamSerializer
    pagination_class = NamePages

    def get_queryset(self) -> QuerySet[Stream]:
        """By name."""
        return (
            Stream.objects.select_related("rule_state")
            .prefetch_related("offsets", "dead_tallies")
            .order_by("name")
        )

    @extend_schema(request=shapes.NewStreamSerializer, responses={201: shapes.StreamSerializer})
    def post(self, request: Request) -> Response:
        """Define one; it is counted from the topic's first message on."""
        stream = actions.create_stream(**valid(shapes.NewStreamSerializer, request.data), by=user_of(request))
        return Response(shapes.StreamSerializer(stream).data, status=201)


class StreamDetailView(APIView):
    """One stream definition."""

    @extend_schema(responses=shapes.StreamSerializer)
    def get(self, request: Request, name: str) -> Response:
        """Its definition."""
        return Response(shapes.StreamSerializer(queries.stream(name)).data)

    @extend_schema(request=shapes.StreamChangeSerializer, responses=shapes.StreamSerializer)
    def patch(self, request: Request, name: str) -> Response:
        """Change the description or the whole definition."""
        changes = valid(shapes.StreamChangeSerializer, request.data)
        return Response(
            shapes.StreamSerializer(actions.change_stream(name, by=user_of(request), **changes)).data
        )

    @extend_schema(responses={204: None})
    def delete(self, request: Request, name: str) -> Response:
        """Delete it with its windows and dead letters; the topics stay."""
        actions.delete_stream(name, by=user_of(request))
        return Response(status=204)


@extend_schema(
    parameters=[
        OpenApiParameter("since", OpenApiTypes.DATETIME),
        OpenApiParameter("until", OpenApiTypes.DATETIME),
        OpenApiParameter("group", str),
    ]
)
class WindowListView(generics.ListAPIView):
    """Windows of a stream, newest first; the open ones too."""

    serializer_class = shapes.WindowSerializer
    pagination_class = WindowPages

    def get_queryset(self) -> QuerySet[Window]:
        """Those that start in [since, until)."""
        given = self.request.query_params
        since, until = (_time(given.get(name), name) for name in ("since", "until"))
        stream = queries.stream(self.kwargs["name"])
        return queries.windows(stream, since=since, until=until, group=given.get("group"))


def _time(text: str | None, name: str) -> datetime | None:
    return edge.moment(text, name) if text else None


@extend_schema(
    parameters=[
        OpenApiParameter("since", OpenApiTypes.DATETIME),
        OpenApiParameter("until", OpenApiTypes.DATETIME),
    ]
)
class AnomalyListView(generics.ListAPIView):
    """Events above the limit of the stream's anomaly rule, newest first."""

    serializer_class = shapes.AnomalySerializer

    def get_queryset(self) -> QuerySet[Anomaly]:
        """Those found in [since, until)."""
        given = self.request.query_params
        since, until = (_time(given.get(name), name) for name in ("since", "until"))
        return queries.anomalies(queries.stream(self.kwargs["name"]), since=since, until=until)


class DeadLetterListView(generics.ListAPIView):
    """Messages that are in no window, and why, newest first."""

    serializer_class = shapes.DeadLetterSerializer

    def get_queryset(self) -> QuerySet[DeadLetter]:
        """Of one stream."""
        return queries.dead_letters(queries.stream(self.kwargs["name"]))


class RedriveView(APIView):
    """A dead letter, once more."""

    @extend_schema(request=None, responses={202: shapes.DeadLetterSerializer})
    def post(self, request: Request, name: str, pk: int) -> Response:
        """Have it sent to its topic again, by a worker."""
        letter = actions.ask_redrive(name, pk, by=user_of(request))
        return Response(shapes.DeadLetterSerializer(letter).data, status=202)


# --- replays


class ReplayListView(generics.ListAPIView):
    """Files sent to topics."""

    serializer_class = shapes.ReplaySerializer

    def get_queryset(self) -> QuerySet[Replay]:
        """Newest first."""
        return queries.replays()

    @extend_schema(request=shapes.NewReplaySerializer, responses={202: shapes.ReplaySerializer})
    def post(self, request: Request) -> Response:
        """Have a worker send a file."""
        wish = {"rate": None, "speed": None, **valid(shapes.NewReplaySerializer, request.data)}
        key = request.headers.get("Idempotency-Key", "")
        replay, is_new = actions.start_replay_once(key, **wish, by=user_of(request))
        return Response(shapes.ReplaySerializer(replay).data, status=202, headers=idempotency.headers(is_new))


class ReplayDetailView(APIView):
    @extend_schema(responses=shapes.ReplaySerializer)
    def get(self, request: Request, pk: int) -> Response:
        """With its progress."""
        return Response(shapes.ReplaySerializer(queries.replay(pk)).data)


class ReplayStopView(APIView):
    """The end of a replay before its time."""

    @extend_schema(request=None, responses={202: shapes.ReplaySerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Ask the worker to stop; what was sent stays."""
        return Response(
            shapes.ReplaySerializer(actions.stop_replay(pk, by=user_of(request))).data, status=202
        )
