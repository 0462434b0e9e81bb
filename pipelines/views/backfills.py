"""Pages of backfills: a pipeline's own with the form, the list of all, and one with its runs."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access import policy
from core.access.http import SignedInRequest
from core.lib.errors import Conflict, InvalidRequest
from core.lib.htmx import is_htmx
from core.lib.paging import page_of
from pipelines import backfill_actions, backfill_queries, queries
from pipelines.backfill_form import BackfillForm
from pipelines.backfill_models import BackfillState
from pipelines.models import Pipeline
from pipelines.views.common import age

PREFILLED = ("from_date", "to_date", "reprocess_behavior")


@require_http_methods(["GET", "POST"])
def pipeline_backfills(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """A pipeline's backfills, and the form of one more: first what would run, with `confirm` the start."""
    pipeline = queries.pipeline(dag_id)
    if request.method == "GET":
        values = {name: request.GET[name] for name in PREFILLED if name in request.GET}
        return _page(request, pipeline, BackfillForm(pipeline, values=values))
    policy.check(request.user, "pipelines.run", dag_id)
    form = BackfillForm(pipeline, request.POST)
    if not form.is_valid():
        return _page(request, pipeline, form, status=422)
    try:
        # A preview of other values says nothing about these: they get their own first.
        if "confirm" in request.POST and request.POST.get("previewed") == form.digest():
            return _started(request, form)
        preview = backfill_actions.preview_for_page(form.wanted(), by=request.user)
    except InvalidRequest as error:
        form.add_faults(error.errors or [{"field": "", "message": error.message}])
        return _page(request, pipeline, form, status=422)
    return _page(request, pipeline, form, preview)


def _started(request: SignedInRequest, form: BackfillForm) -> HttpResponse:
    reason = form.cleaned_data["reason"].strip()
    try:
        row = backfill_actions.start(form.wanted(), reason=reason, by=request.user)
    except Conflict as error:
        messages.error(request, error.message)
        return redirect("pipelines:pipeline-backfills", form.pipeline.dag_id)
    messages.success(request, _("Asked for. Airflow gets it now."))
    return redirect("pipelines:backfill-detail", row.pk)


def _page(
    request: SignedInRequest,
    pipeline: Pipeline,
    form: BackfillForm,
    preview: backfill_actions.Preview | None = None,
    *,
    status: int = 200,
) -> HttpResponse:
    page = page_of(request, backfill_queries.backfills(dag_id=pipeline.dag_id))
    page["rows"] = backfill_queries.with_progress(page["rows"])
    context = {"pipeline": pipeline, "page": page, **age()}
    if is_htmx(request) and request.method == "GET":
        return render(request, "pipelines/_backfill_table.html", context)
    context |= {"form": form, "preview": preview, "no_dates": backfill_actions.no_dates(pipeline)}
    return render(request, "pipelines/pipeline_backfills.html", context, status=status)


@require_GET
def backfill_list(request: SignedInRequest) -> HttpResponse:
    """Backfills of every pipeline, newest first."""
    page = page_of(request, backfill_queries.backfills(state=request.GET.get("state", "")))
    page["rows"] = backfill_queries.with_progress(page["rows"])
    states = [("open", _("not over")), *BackfillState.choices]
    context = {"page": page, "states": states, "has_pipeline": True, **age()}
    template = "_backfill_table" if is_htmx(request) else "backfill_list"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def backfill_detail(request: SignedInRequest, backfill_id: int) -> HttpResponse:
    """How far it is, what it was asked for, and its runs in the order of their dates."""
    row = backfill_queries.backfill(backfill_id)
    [found] = backfill_queries.with_progress([row])
    context = {
        "row": row,
        "progress": found.progress,
        "page": page_of(request, backfill_queries.runs_of(row)),
        "waits_for_switch": not row.is_over and queries.is_paused(row.dag_id),
        **age(),
    }
    template = "_backfill_body" if is_htmx(request) else "backfill_detail"
    return render(request, f"pipelines/{template}.html", context)


@require_POST
def backfill_pause(request: SignedInRequest, backfill_id: int) -> HttpResponse:
    """Begin no more of its runs."""
    return _asked(request, backfill_id, backfill_actions.pause, _("Airflow is asked to pause it."))


@require_POST
def backfill_unpause(request: SignedInRequest, backfill_id: int) -> HttpResponse:
    """Go on."""
    return _asked(request, backfill_id, backfill_actions.unpause, _("Airflow is asked to go on with it."))


@require_POST
def backfill_cancel(request: SignedInRequest, backfill_id: int) -> HttpResponse:
    """End it."""
    return _asked(request, backfill_id, backfill_actions.cancel, _("Airflow is asked to end it."))


def _asked(
    request: SignedInRequest, backfill_id: int, ask: Callable[..., object], words: str
) -> HttpResponse:
    ask(backfill_id, by=request.user)
    messages.success(request, words)
    return redirect("pipelines:backfill-detail", backfill_id)
