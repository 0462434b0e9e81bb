"""REST: channels of notifications, and what went through them."""

from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.alerts import channels, queries
from core.alerts import serializers as shapes
from core.alerts.models import Channel, Delivery
from core.lib.rest import valid, valid_query


def _answer(channel_id: int) -> dict:
    return dict(shapes.ChannelSerializer(queries.channel(channel_id)).data)


def _with_secret(channel_id: int, secret: str, *, status: int) -> Response:
    """Nobody keeps it: no cache on the way, nor the console for a call that comes again."""
    answer = {**_answer(channel_id), "secret": secret}
    return Response(answer, status=status, headers={"Cache-Control": "no-store"})


class ChannelListView(generics.ListAPIView):
    """Channels of notifications, newest first."""

    serializer_class = shapes.ChannelSerializer

    def get_queryset(self) -> QuerySet[Channel]:
        """All."""
        return queries.channels()

    @extend_schema(request=shapes.NewChannelSerializer, responses={201: shapes.ChannelWithSecretSerializer})
    def post(self, request: Request) -> Response:
        """Make one. Its secret is in this answer and nowhere else."""
        given = valid(shapes.NewChannelSerializer, request.data)
        channel, secret = channels.create(given.pop("kind"), by=user_of(request), **given)
        return _with_secret(channel.pk, secret, status=201)


class ChannelDetailView(APIView):
    @extend_schema(responses=shapes.ChannelSerializer)
    def get(self, _request: Request, pk: int) -> Response:
        """As it stands."""
        return Response(_answer(pk))

    @extend_schema(request=shapes.ChannelChangeSerializer, responses=shapes.ChannelSerializer)
    def patch(self, request: Request, pk: int) -> Response:
        """Change the fields that are given."""
        channels.change(pk, by=user_of(request), **valid(shapes.ChannelChangeSerializer, request.data))
        return Response(_answer(pk))

    @extend_schema(responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """With the log of its notifications."""
        channels.remove(pk, by=user_of(request))
        return Response(status=204)


class ChannelRotateView(APIView):
    """A new secret."""

    @extend_schema(
        request=shapes.NothingSerializer,
        responses=shapes.ChannelWithSecretSerializer,
        operation_id="channels_rotate",
    )
    def post(self, request: Request, pk: int) -> Response:
        """The old one signs beside it for a day; 409 for e-mail."""
        valid(shapes.NothingSerializer, request.data)
        _channel, secret = channels.rotate(pk, by=user_of(request))
        return _with_secret(pk, secret, status=200)


class ChannelTestView(APIView):
    """A notification that says it is a test."""

    @extend_schema(request=shapes.NothingSerializer, responses={202: shapes.DeliverySerializer})
    def post(self, request: Request, pk: int) -> Response:
        """What comes of it stands in the deliveries."""
        valid(shapes.NothingSerializer, request.data)
        row = channels.test(pk, by=user_of(request))
        return Response(shapes.DeliverySerializer(row, context={"request": request}).data, status=202)


@extend_schema(parameters=[shapes.DeliveryQuerySerializer])
class DeliveryListView(generics.ListAPIView):
    """What went or goes through a channel, newest first."""

    serializer_class = shapes.DeliverySerializer

    def get_queryset(self) -> QuerySet[Delivery]:
        """In one state, or all."""
        if getattr(self, "swagger_fake_view", False):
            return Delivery.objects.none()
        given = valid_query(shapes.DeliveryQuerySerializer, self.request)
        channel = queries.channel(self.kwargs["pk"])
        return queries.deliveries(channel.pk, **given)


class DeliveryResendView(APIView):
    """Once more."""

    @extend_schema(request=shapes.NothingSerializer, responses={202: shapes.DeliverySerializer})
    def post(self, request: Request, pk: int, delivery_id: UUID) -> Response:
        """Under the same id; 409 while it is on its way for the first time."""
        valid(shapes.NothingSerializer, request.data)
        row = channels.resend(pk, delivery_id, by=user_of(request))
        return Response(shapes.DeliverySerializer(row, context={"request": request}).data, status=202)
