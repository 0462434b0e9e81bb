"""REST: files of rows, and their results."""

import uuid
from collections.abc import Mapping
from typing import IO, Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.utils.http import parse_header_parameters
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.parsers import BaseParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access import policy
from core.access.http import user_of
from core.lib import edge, idempotency
from core.lib.edge import refused
from predictions.batch_models import BatchState, PredictionBatch
from predictions.batches import actions, exports, files, queries
from predictions.batches.actions import Upload
from predictions.batches.serializers import PredictionBatchSerializer, UploadSerializer
from predictions.errors import TooLarge
from predictions.serving import service

RAW_TYPES = ("text/csv", "application/vnd.apache.parquet", "application/octet-stream")
AROUND_BYTES = 64 * 1024


class _Raw(BaseParser):
    """The body is the file: it is read by who keeps it."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return stream


class CsvParser(_Raw):
    media_type = "text/csv"


class ParquetParser(_Raw):
    media_type = "application/vnd.apache.parquet"


class BytesParser(_Raw):
    media_type = "application/octet-stream"


class BatchList(ListAPIView):
    """Files of rows to predict with a model."""

    serializer_class = PredictionBatchSerializer
    parser_classes = (MultiPartParser, CsvParser, ParquetParser, BytesParser)
    # A repetition is the same file, however its form is written, for as long as the batch is kept.
    keeps_keys = True

    @extend_schema(
        operation_id="batch_list",
        tags=["predictions"],
        parameters=[
            OpenApiParameter("all", bool, description="Everybody's; needs `predictions.see_all`."),
            OpenApiParameter("state", str, enum=BatchState.values),
        ],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One's own, newest first; with `all=true` everybody's, for those who may see them."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[PredictionBatch]:
        query = self.request.query_params
        rows = queries.of_user(user_of(self.request))
        if query.get("all", "").lower() in {"1", "true"}:
            policy.check(self.request.user, "predictions.see_all")
            rows = PredictionBatch.objects.order_by("-pk")
        state = query.get("state", "")
        if state and state not in BatchState.values:
            message = _("There is no such state; these are: %(all)s.")
            raise refused("state", message % {"all": ", ".join(BatchState.values)})
        rows = rows.filter(state=state) if state else rows
        return rows.filter(model=self.kwargs["name"])

    @extend_schema(
        operation_id="batch_start",
        tags=["predictions"],
        request={
            "multipart/form-data": UploadSerializer,
            **dict.fromkeys(RAW_TYPES, OpenApiTypes.BINARY),
        },
        responses={202: PredictionBatchSerializer},
    )
    def post(self, request: Request, name: str) -> Response:
        """Have each row of a file predicted by the champion, in your name.

        The file is a form's `file`, or the body itself: CSV in UTF-8, with comma, semicolon, tab or bar, or
        Parquet. A column for each field of the model's spec; others are kept beside the answers. 422 names
        the columns that do not fit; a row that does not fit is set aside, and the others are predicted.
        """
        _check_length(request)
        served = service.started().engine.champion(name)
        made = actions.start_batch(served, _upload(request), by=user_of(request))
        headers = idempotency.headers(made.is_new)
        return Response(PredictionBatchSerializer(made.batch).data, status=202, headers=headers)


def _check_length(request: Request) -> None:
    """Raises TooLarge before anything of it is read."""
    n_bytes = edge.whole_or(0, request.META.get("CONTENT_LENGTH") or "0")
    if n_bytes > files.most_bytes() + AROUND_BYTES:
        raise TooLarge(files.too_large())


def _upload(request: Request) -> Upload:
    """Raises InvalidRequest for a form without a file."""
    key = request.headers.get("Idempotency-Key", "")
    if request.content_type.partition(";")[0].strip().lower() in RAW_TYPES:
        stream = request.data
        pieces = files.pieces_of(stream) if hasattr(stream, "read") else iter(())
        return Upload(_named(request), pieces, key)
    found = request.FILES.get("file")
    if found is None:
        raise refused("file", _("Send a file: CSV or Parquet."))
    return Upload(found.name or "", found.chunks(), key)


def _named(request: Request) -> str:
    """The name that a program gives its body by `Content-Disposition`."""
    _kind, parameters = parse_header_parameters(request.headers.get("Content-Disposition", ""))
    return parameters.get("filename", "")


class BatchDetail(APIView):
    """One file of rows."""

    @extend_schema(
        operation_id="batch_detail", tags=["predictions"], responses={200: PredictionBatchSerializer}
    )
    def get(self, request: Request, name: str, pk: uuid.UUID) -> Response:
        """With its progress."""
        return Response(PredictionBatchSerializer(queries.batch(pk, by=user_of(request), model=name)).data)

    @extend_schema(operation_id="batch_remove", tags=["predictions"], responses={204: None})
    def delete(self, request: Request, name: str, pk: uuid.UUID) -> Response:
        """Remove one's own with its result, once it has ended; its predictions stay."""
        queries.batch(pk, by=user_of(request), model=name)
        actions.remove_batch(pk, by=user_of(request))
        return Response(status=204)


class BatchResult(APIView):
    """What came of each row."""

    @extend_schema(
        operation_id="batch_result",
        tags=["predictions"],
        responses={(200, "text/csv"): OpenApiTypes.STR},
    )
    def get(self, request: Request, name: str, pk: uuid.UUID) -> HttpResponseBase:
        """As CSV: number of the row, id, answer or reason, and the file's own columns.

        409 until it has ended. Of a file that was cancelled or failed: what was answered by then.
        """
        found = queries.batch(pk, by=user_of(request), model=name)
        return exports.response(request._request, found, by=user_of(request))


class BatchCancel(APIView):
    """The end of a file of rows before its time."""

    @extend_schema(
        operation_id="batch_cancel",
        tags=["predictions"],
        request=None,
        responses={202: PredictionBatchSerializer},
    )
    def post(self, request: Request, name: str, pk: uuid.UUID) -> Response:
        """Ask the worker to stop; what was predicted stays, and the result has it. 409 once it has ended."""
        queries.batch(pk, by=user_of(request), model=name)
        return Response(
            PredictionBatchSerializer(actions.cancel_batch(pk, by=user_of(request))).data, status=202
        )
