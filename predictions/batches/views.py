"""Pages of files of rows: bring one, see how far each is, take the result away."""

import uuid

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access.http import SignedInRequest
from core.lib import csv_out
from core.lib.errors import Conflict, InvalidRequest
from core.lib.htmx import go_to, is_htmx
from core.lib.paging import page_of
from predictions.batches import actions, exports, queries, tables
from predictions.batches.actions import Upload
from predictions.batches.forms import UploadForm
from predictions.errors import TooLarge
from predictions.serving import service
from predictions.serving.served import Served


@require_http_methods(["GET", "HEAD", "POST"])
def batch_list(request: SignedInRequest, model: str) -> HttpResponse:
    """One's own files of rows with this model, and the form that takes another."""
    engine = service.started().engine
    if request.method == "POST":
        return _uploaded(request, engine.champion(model))
    served = engine.served.get(model)
    if served is None and not queries.of_user(request.user).filter(model=model).exists():
        served = engine.champion(model)  # raises why there is none
    return _list(request, model, served, UploadForm())


def _uploaded(request: SignedInRequest, served: Served) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if form.is_valid():
        found = form.cleaned_data["file"]
        try:
            made = actions.start_batch(served, Upload(found.name, found.chunks()), by=request.user)
        except (InvalidRequest, TooLarge, Conflict) as error:
            for message in [fault["message"] for fault in error.errors] or [error.message]:
                form.add_error("file", message)
        else:
            return go_to(request, made.batch.get_absolute_url())
    return _list(request, served.ref.model, served, form, status=422)


def _list(
    request: SignedInRequest, model: str, served: Served | None, form: UploadForm, status: int = 200
) -> HttpResponse:
    page = page_of(request, queries.of_user(request.user).filter(model=model))
    values = {
        "model": model,
        "served": served,
        "form": form,
        "rows": page["rows"],
        "page": page,
        "most_mib": settings.CONSOLE_BATCHES_MAX_MIB,
        "most_rows": settings.CONSOLE_BATCHES_MAX_ROWS,
        "keep_days": settings.CONSOLE_BATCHES_KEEP_DAYS,
    }
    template = "predictions/_batch_table.html" if is_htmx(request) else "predictions/batch_list.html"
    return render(request, template, values, status=status)


@require_GET
def batch_template(request: SignedInRequest, model: str) -> HttpResponse:
    """A CSV file with the right header and an example row."""
    served = service.started().engine.champion(model)
    content = csv_out.lines(tables.template(served.spec))
    headers = {"Content-Disposition": 'attachment; filename="template.csv"'}
    return HttpResponse(content, content_type="text/csv; charset=utf-8", headers=headers)


@require_GET
def batch(request: SignedInRequest, model: str, pk: uuid.UUID) -> HttpResponse:
    """One file: how far it is, the first rows that were set aside, its result."""
    found = queries.batch(pk, by=request.user, model=model)
    values = {
        "model": model,
        "served": service.started().engine.served.get(model),
        "batch": found,
        "is_own": found.requested_by_id == request.user.pk,
        "n_hidden": found.n_refused - len(found.refused),
        "keep_days": settings.CONSOLE_BATCHES_KEEP_DAYS,
    }
    template = "predictions/_batch.html" if is_htmx(request) else "predictions/batch.html"
    return render(request, template, values)


@require_GET
def batch_result(request: SignedInRequest, model: str, pk: uuid.UUID) -> HttpResponseBase:
    """What came of each row, as CSV."""
    found = queries.batch(pk, by=request.user, model=model)
    return exports.response(request, found, by=request.user)


@require_POST
def batch_cancel(request: SignedInRequest, model: str, pk: uuid.UUID) -> HttpResponse:
    """Have the worker stop."""
    queries.batch(pk, by=request.user, model=model)
    actions.cancel_batch(pk, by=request.user)
    messages.success(request, _("It ends once the rows that are being answered are safe in Kafka."))
    return redirect("predict:batch", model=model, pk=pk)


@require_POST
def batch_remove(request: SignedInRequest, model: str, pk: uuid.UUID) -> HttpResponse:
    """Remove a file that has ended, with its result."""
    queries.batch(pk, by=request.user, model=model)
    actions.remove_batch(pk, by=request.user)
    messages.success(request, _("The file and its result were removed. Its predictions stay."))
    return redirect("predict:batch-list", model=model)
