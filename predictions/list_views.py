"""Tables of recorded predictions, one's own and everybody's, and their export."""

import uuid
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from core.access.models import User
from core.audit import actions as audit
from core.lib import csv_out, downloads, json_out, paging
from core.lib.htmx import is_htmx
from core.lib.templatetags import numbers
from predictions import masking, queries
from predictions.forms import Filters
from predictions.models import Prediction
from predictions.serving import service

EXPORT_ROWS = 100_000
CHUNK = 1_000
COLUMNS = ("id", "at", "model", "version", "username", "source", "value", "label", "probability", "actual")


@require_GET
def mine(request: SignedInRequest, model: str) -> HttpResponse:
    """One's own predictions of a model."""
    rows = queries.of_user(request.user).filter(model=model)
    served = service.started().engine.served.get(model)
    return _table(request, rows, "predictions/mine.html", {"model": model, "served": served, "is_mine": True})


@require_GET
def everybodys(request: SignedInRequest) -> HttpResponse:
    """All predictions."""
    return _table(request, Prediction.objects.all(), "predictions/list.html", {"is_mine": False})


def _table(
    request: SignedInRequest, rows: QuerySet[Prediction], whole: str, values: dict[str, Any]
) -> HttpResponse:
    filters = Filters(request.GET)
    is_valid = filters.is_valid()
    found: list[Prediction] = []
    following: uuid.UUID | None = None
    if is_valid:
        found, following = queries.page(
            queries.matching(rows, filters.cleaned_data), filters.cleaned_data["before"]
        )
    values |= {
        "form": filters,
        "predictions": found,
        "page": paging.links(request, "before", following),
        "is_filtered": any(value for name, value in request.GET.items() if name != "before"),
    }
    template = "predictions/_table.html" if is_htmx(request) else whole
    return render(request, template, values, status=200 if is_valid else 422)


@require_GET
def export_mine(request: SignedInRequest, model: str) -> HttpResponseBase:
    """One's own as CSV, inputs in columns of their own."""
    return _export(request, queries.of_user(request.user).filter(model=model), model)


@require_GET
def export_all(request: SignedInRequest) -> HttpResponseBase:
    """Everybody's as CSV; that somebody took it is in the audit trail."""
    audit.record("predictions.export", "predictions", by=request.user, after={"filters": request.GET.dict()})
    return _export(request, Prediction.objects.all(), "predictions")


def _export(request: SignedInRequest, rows: QuerySet[Prediction], name: str) -> HttpResponseBase:
    filters = Filters(request.GET)
    if not filters.is_valid():
        return HttpResponse(status=422)
    rows = queries.matching(rows, filters.cleaned_data)
    parts = _csv(queries.older(rows, filters.cleaned_data["before"]), by=request.user)
    return downloads.response(request, parts, name=f"{name}.csv", content_type="text/csv; charset=utf-8")


def _csv(rows: QuerySet[Prediction], *, by: User) -> Iterator[bytes]:
    """Newest first; where there are too many for one file, its last line says how the others come."""
    yield csv_out.lines([[*COLUMNS, "inputs", "warnings", "is_answered"]])
    batch: list[list[Any]] = []
    last = None
    for n_before, row in enumerate(rows[: EXPORT_ROWS + 1].iterator(chunk_size=CHUNK)):
        if n_before == EXPORT_ROWS:
            batch.append([_more(last)])
            break
        batch.append(_row(row, by=by))
        last = row.pk
        if len(batch) == CHUNK:
            yield csv_out.lines(batch)
            batch = []
    yield csv_out.lines(batch)


def _row(row: Prediction, *, by: User) -> list[Any]:
    cells = [_cell(getattr(row, name)) for name in COLUMNS]
    return [*cells, _cell(masking.inputs(row, by=by)), "; ".join(row.warnings), row.is_answered]


def _more(last: uuid.UUID | None) -> str:
    return _("There are more than these %(n)s. Export the others with before=%(id)s.") % {
        "n": numbers.whole(EXPORT_ROWS),
        "id": last,
    }


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json_out.text(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value
