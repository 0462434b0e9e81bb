"""REST: a model's windows, and the rules by which it is watched."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from predictions.drift import actions, queries
from predictions.drift.serializers import DriftRulesSerializer, DriftWindowSerializer
from predictions.models import DriftWindow


class ModelDrift(ListAPIView):
    """Windows of a model's predictions against the frozen reference, newest first, with all verdicts."""

    serializer_class = DriftWindowSerializer

    @extend_schema(operation_id="model_drift", tags=["drift"])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[DriftWindow]:
        """Of all its versions. Raises NotFound."""
        return queries.windows(queries.known(self.kwargs["name"]))


class ModelDriftRules(APIView):
    """The rules by which a model is watched."""

    @extend_schema(operation_id="model_drift_rules", responses=DriftRulesSerializer, tags=["drift"])
    def get(self, request: Request, name: str) -> Response:
        """The model's own, or the defaults."""
        return Response(DriftRulesSerializer(queries.rules(queries.known(name))).data)

    @extend_schema(
        operation_id="model_drift_rules_change",
        request=DriftRulesSerializer,
        responses=DriftRulesSerializer,
        tags=["drift"],
    )
    def patch(self, request: Request, name: str) -> Response:
        """Change some; they hold from the next window on."""
        given = DriftRulesSerializer(data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        rules = actions.change_rules(name, by=user_of(request), **given.validated_data)
        return Response(DriftRulesSerializer(rules).data)
