"""The Open Inference Protocol at /v2 for whoever has a session, and its health for everybody.

Calls with a token never come here: `predictions.serving` answers them before Django.
"""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from predictions.api import RowsView, predicted
from predictions.serializers import (
    InferredSerializer,
    InferSerializer,
    ReadySerializer,
    ServedModelSerializer,
    ServerSerializer,
)
from predictions.serving import binary_tensors, inference, service
from predictions.serving.inference import Inference
from predictions.serving.served import Served

TAGS = ["v2"]


class _Health(APIView):
    """Of this process: no sign-in, and nothing that takes long."""

    authentication_classes: list[Any] = []  # type: ignore[misc]
    permission_classes: list[Any] = []  # type: ignore[misc]

    def get(self, request: Request) -> HttpResponse:
        found = service.started().readiness()
        status, content, _headers = inference.health(request.path, is_ready=found["is_ready"])
        return HttpResponse(content, status=status, content_type="application/json")


class Live(_Health):
    """This process answers."""

    @extend_schema(operation_id="v2_live", responses={200: None}, tags=TAGS)
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)


class Ready(_Health):
    """This process answers predictions; 503 while it does not."""

    @extend_schema(operation_id="v2_ready", responses={200: None}, tags=TAGS)
    def get(self, request: Request) -> HttpResponse:
        return super().get(request)


class Server(APIView):
    """What answers here."""

    @extend_schema(operation_id="v2_server", responses={200: ServerSerializer}, tags=TAGS)
    def get(self, _request: Request) -> Response:
        return Response(inference.server())


class Model(APIView):
    """What the champion takes and gives: a tensor for each field, the prediction, probabilities, its id."""

    @extend_schema(operation_id="v2_model", responses={200: ServedModelSerializer}, tags=TAGS)
    def get(self, _request: Request, name: str, **version: str) -> Response:
        return Response(inference.about(_served(name, **version)))


class ModelReady(APIView):
    """Whether the model has a champion that answers."""

    @extend_schema(operation_id="v2_model_ready", responses={200: ReadySerializer}, tags=TAGS)
    def get(self, _request: Request, name: str, **version: str) -> Response:
        return Response(inference.ready(_served(name, **version)))


class ModelInfer(RowsView):
    """Answers of the champion, each recorded before it is given. Inputs: a tensor for each field.

    Binary tensors are read as Triton's extension `binary_tensor_data` has them; answers are JSON.
    """

    @extend_schema(
        operation_id="v2_infer", request=InferSerializer, responses={200: InferredSerializer}, tags=TAGS
    )
    def post(self, request: Request, name: str, **version: str) -> HttpResponse:
        return self.reply(request, name, **version)

    def answer(self, request: Request, name: str, body: bytes, **version: str) -> bytes:
        json_bytes = request.headers.get(binary_tensors.HEADER, "")
        call = Inference(body, request.META.get("CONTENT_TYPE", ""), json_bytes=json_bytes)
        served = _served(name, **version)
        return call.answered(predicted(request, served, call.decode), served)


@extend_schema_view(get=extend_schema(operation_id="v2_version"))
class ModelVersion(Model):
    """What the champion takes and gives, asked for by its version; 404 for any other."""


@extend_schema_view(get=extend_schema(operation_id="v2_version_ready"))
class ModelVersionReady(ModelReady):
    """Whether the champion answers, asked for by its version; 404 for any other."""


@extend_schema_view(post=extend_schema(operation_id="v2_version_infer"))
class ModelVersionInfer(ModelInfer):
    """Answers of the champion, asked for by its version; 404 for any other."""


def _served(name: str, version: str | None = None) -> Served:
    return inference.champion(service.started().engine, name, version)
