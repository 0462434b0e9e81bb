"""REST: requests for promotion, decisions, and the way back."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.lib.rest import valid
from models_registry import actions, queries
from models_registry import serializers as shapes
from models_registry.models import PromotionRequest
from models_registry.states import RequestState


class VersionPromotionsView(APIView):
    """Requests to promote a version."""

    @extend_schema(request=shapes.ReasonSerializer, responses={202: shapes.PromotionSerializer})
    def post(self, request: Request, name: str, version: int) -> Response:
        """Ask for it; 409 until the gate has passed. Somebody else decides."""
        reason = valid(shapes.ReasonSerializer, request.data)["reason"]
        asked = actions.request_promotion(name, version, reason=reason, by=user_of(request))
        return Response(shapes.PromotionSerializer(asked).data, status=202)


class ModelRollbackView(APIView):
    """Back to the champion before."""

    @extend_schema(request=shapes.RollbackSerializer, responses=shapes.PeriodSerializer)
    def post(self, request: Request, name: str) -> Response:
        """Now. 409 when there was none before, or when another is champion than `expected`.

        Where nothing is expected, 409 after a rollback too: the same call sent twice goes back once.
        """
        given = valid(shapes.RollbackSerializer, request.data)
        return Response(shapes.PeriodSerializer(actions.rollback(name, by=user_of(request), **given)).data)


@extend_schema(parameters=[OpenApiParameter("state", str, enum=RequestState.values)])
class PromotionListView(generics.ListAPIView):
    """Requests for promotion, newest first."""

    serializer_class = shapes.PromotionSerializer

    def get_queryset(self) -> QuerySet[PromotionRequest]:
        """`?state=requested` leaves those that wait."""
        return queries.listed_promotions(self.request.query_params.get("state", ""))


class PromotionDetailView(APIView):
    """One request."""

    @extend_schema(responses=shapes.PromotionSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """`delivered_at` is set once MLflow has the alias."""
        return Response(shapes.PromotionSerializer(queries.promotion(pk)).data)


class PromotionApproveView(APIView):
    @extend_schema(request=shapes.OptionalReasonSerializer, responses=shapes.PromotionSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Makes the version champion; never by who asked. 409 when MLflow holds other files by now."""
        reason = valid(shapes.OptionalReasonSerializer, request.data)["reason"]
        return Response(
            shapes.PromotionSerializer(actions.approve(pk, reason=reason, by=user_of(request))).data
        )


class PromotionRejectView(APIView):
    @extend_schema(request=shapes.ReasonSerializer, responses=shapes.PromotionSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """With a reason; never by who asked."""
        reason = valid(shapes.ReasonSerializer, request.data)["reason"]
        return Response(
            shapes.PromotionSerializer(actions.reject(pk, reason=reason, by=user_of(request))).data
        )


class PromotionWithdrawView(APIView):
    @extend_schema(request=shapes.OptionalReasonSerializer, responses=shapes.PromotionSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Only by who asked."""
        reason = valid(shapes.OptionalReasonSerializer, request.data)["reason"]
        return Response(
            shapes.PromotionSerializer(actions.withdraw(pk, reason=reason, by=user_of(request))).data
        )
