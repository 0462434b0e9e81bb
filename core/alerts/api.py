"""REST: alerts, and what a person does about one."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.alerts import actions, prometheus, queries
from core.alerts import serializers as shapes
from core.alerts.models import Alert
from core.lib.rest import valid, valid_query


def _answer(alert_id: int) -> Response:
    return Response(shapes.AlertWithStepsSerializer(queries.alert(alert_id)).data)


@extend_schema(parameters=[shapes.AlertQuerySerializer])
class AlertListView(generics.ListAPIView):
    """Alerts, the newest first."""

    serializer_class = shapes.AlertSerializer

    def get_queryset(self) -> QuerySet[Alert]:
        """Those that fit every filter given."""
        return queries.alerts(**valid_query(shapes.AlertQuerySerializer, self.request))


class AlertDetailView(APIView):
    @extend_schema(responses=shapes.AlertWithStepsSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """With the steps that it took."""
        return _answer(pk)


class AcknowledgeView(APIView):
    """Somebody looks after an alert."""

    @extend_schema(request=shapes.AcknowledgeSerializer, responses=shapes.AlertWithStepsSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """409 unless it is open or muted."""
        actions.acknowledge(pk, by=user_of(request), **valid(shapes.AcknowledgeSerializer, request.data))
        return _answer(pk)


class AcknowledgeManyView(APIView):
    """Somebody looks after several alerts."""

    @extend_schema(
        request=shapes.AcknowledgeManySerializer,
        responses=shapes.AlertsListSerializer,
        operation_id="alerts_acknowledge_many",
    )
    def post(self, request: Request) -> Response:
        """Acknowledge those that are open; the answer holds these, and the others stay as they are."""
        given = valid(shapes.AcknowledgeManySerializer, request.data)
        alerts = actions.acknowledge_many(by=user_of(request), **given)
        return Response(shapes.AlertsListSerializer({"results": alerts}).data)


class MuteView(APIView):
    """Quiet for a while."""

    @extend_schema(request=shapes.MuteSerializer, responses=shapes.AlertWithStepsSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """A finding made after `until` opens it again; 409 when it is resolved."""
        actions.mute(pk, by=user_of(request), **valid(shapes.MuteSerializer, request.data))
        return _answer(pk)


class ResolveView(APIView):
    """The end of an alert."""

    @extend_schema(request=shapes.ResolveSerializer, responses=shapes.AlertWithStepsSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """A finding made later, after a cooldown, opens a new one; 409 when it is resolved already."""
        actions.resolve(pk, by=user_of(request), **valid(shapes.ResolveSerializer, request.data))
        return _answer(pk)


class PrometheusView(APIView):
    """The webhook of Prometheus' Alertmanager."""

    @extend_schema(request=shapes.AlertmanagerSerializer, responses=shapes.TakenSerializer)
    def post(self, request: Request) -> Response:
        """One alert for each fingerprint, resolved when Prometheus resolves it.

        What is no alert is set aside and told in `n_set_aside`; 422 only when the whole is no such message.
        """
        return Response(shapes.TakenSerializer(prometheus.take(request.data, by=user_of(request))).data)
