"""REST: predict, invocations and explain in a session, recorded predictions, feedback.

Calls with a token to those three never come here: `predictions.serving` answers them before Django.
"""

import uuid
from abc import ABC, abstractmethod
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access import policy
from core.access.http import user_of
from core.lib import caller, context, edge, json_out, problems
from core.lib.errors import ConsoleError, NotFound
from predictions import actions, answered, queries
from predictions.errors import NotRecorded, TooLarge, extra_of, headers_of
from predictions.models import Prediction, Source
from predictions.serializers import (
    AnswerSerializer,
    ExplanationsSerializer,
    FeedbackSerializer,
    InvocationsSerializer,
    InvokedSerializer,
    PredictionSerializer,
    RowsSerializer,
)
from predictions.serving import callers, mlflow_bodies, service
from predictions.serving.engine import Answer, Decode
from predictions.serving.served import Served
from scoring.check import MAX_BYTES


class RowsView(ABC, APIView):
    """Takes the body as it is: the model's own decoder reads it, the same as for tokens."""

    def reply(self, request: Request, name: str, **version: str) -> HttpResponse:
        """What `answer` gives, or a problem."""
        if edge.whole_or(MAX_BYTES + 1, request.META.get("CONTENT_LENGTH") or "0") > MAX_BYTES:
            raise TooLarge("A call may carry at most 1 MiB: send fewer rows.")
        body = request._request.body
        try:
            return HttpResponse(self.answer(request, name, body, **version), content_type="application/json")
        except NotRecorded as error:
            return _problem(error)

    @abstractmethod
    def answer(self, request: Request, name: str, body: bytes, **version: str) -> bytes:
        """The JSON to answer with."""


def predicted(request: Request, served: Served, decode: Decode) -> Answer:
    """In a session what the predict application answers to a token."""
    asked_by, request_id = callers.of_user(request.user), context.request_id.get()
    engine = service.started().engine
    answer = engine.predict(served, decode, asked_by, source="api", request_id=request_id)
    return caller.wait_for(answer, though_left=True)


def _problem(error: ConsoleError) -> HttpResponse:
    content = problems.body(error.status, str(error.title), error.message, error.errors) | extra_of(error)
    return HttpResponse(
        json_out.encode(content),
        status=error.status,
        content_type="application/problem+json",
        headers=headers_of(error),
    )


class ModelPredict(RowsView):
    """Answers of the champion, each recorded before it is given."""

    @extend_schema(
        operation_id="model_predict",
        request=RowsSerializer,
        responses={200: AnswerSerializer},
        tags=["predictions"],
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        return self.reply(request, name)

    def answer(self, request: Request, name: str, body: bytes, **_version: str) -> bytes:
        served = service.started().engine.champion(name)
        return predicted(request, served, lambda served: served.decoder.decode(body)).json()


class ModelInvocations(RowsView):
    """Answers of the champion as `mlflow models serve` gives them: the class, or the number, of each row.

    Takes what that server takes, as JSON with one of the members or as `text/csv`. Recorded as for predict.
    """

    @extend_schema(
        operation_id="model_invocations",
        request={"application/json": InvocationsSerializer, "text/csv": str},
        responses={200: InvokedSerializer},
        tags=["predictions"],
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        return self.reply(request, name)

    def answer(self, request: Request, name: str, body: bytes, **_version: str) -> bytes:
        content_type = request.META.get("CONTENT_TYPE", "")
        served = service.started().engine.champion(name)
        answer = predicted(
            request, served, lambda served: mlflow_bodies.decode(served.decoder, body, content_type)
        )
        return mlflow_bodies.answered(answer.predictions)


class ModelExplain(RowsView):
    """What moved the champion's answers: Shapley values over the raw fields. Nothing is recorded."""

    @extend_schema(
        operation_id="model_explain",
        request=RowsSerializer,
        responses={200: ExplanationsSerializer},
        tags=["predictions"],
    )
    def post(self, request: Request, name: str) -> HttpResponse:
        return self.reply(request, name)

    def answer(self, request: Request, name: str, body: bytes, **_version: str) -> bytes:
        engine = service.started().engine
        champion = engine.champion(name)
        found = caller.wait_for(engine.explain(champion, lambda served: served.decoder.decode(body)))
        return json_out.encode(found)


class PredictionList(ListAPIView):
    """One's own predictions, newest first; with `all=true` everybody's, for those who may see them."""

    serializer_class = PredictionSerializer

    @extend_schema(
        operation_id="prediction_list",
        tags=["predictions"],
        parameters=[
            OpenApiParameter(
                "all", bool, description="Everybody's predictions; needs `predictions.see_all`."
            ),
            OpenApiParameter("model", str),
            OpenApiParameter("version", str),
            OpenApiParameter("source", str, enum=Source.values),
        ],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Prediction]:
        query = self.request.query_params
        rows = queries.of_user(user_of(self.request))
        if query.get("all", "").lower() in {"1", "true"}:
            policy.check(self.request.user, "predictions.see_all")
            rows = Prediction.objects.all()
        return queries.matching(rows, {name: query.get(name) for name in ("model", "version", "source")})


class PredictionDetail(APIView):
    """One recorded prediction."""

    @extend_schema(
        operation_id="prediction_detail", responses={200: PredictionSerializer}, tags=["predictions"]
    )
    def get(self, request: Request, pk: uuid.UUID) -> Response:
        return Response(PredictionSerializer(_recorded(pk, request), context={"request": request}).data)

    @extend_schema(operation_id="prediction_erase", responses={204: None}, tags=["predictions"])
    def delete(self, request: Request, pk: uuid.UUID) -> Response:
        """Erase one's own for good; a replay of the topic does not bring it back."""
        actions.erase_prediction(pk, by=user_of(request))
        return Response(status=204)


class PredictionFeedback(APIView):
    """What turned out to be true."""

    @extend_schema(
        operation_id="prediction_feedback",
        request=FeedbackSerializer,
        responses={200: PredictionSerializer},
        tags=["predictions"],
    )
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        given = FeedbackSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        found = queries.prediction(pk, by=user_of(request))
        spec = answered.spec_of(found) if found is not None else None
        actual = given.validated_data["actual"]
        labelled = actions.label_prediction(pk, actual=actual, by=user_of(request), spec=spec)
        return Response(PredictionSerializer(labelled, context={"request": request}).data)


def _recorded(pk: uuid.UUID, request: Request) -> Prediction:
    found = queries.prediction(pk, by=user_of(request))
    if found is None:
        raise NotFound("This prediction is not recorded yet. Ask again in a moment.")
    return found
