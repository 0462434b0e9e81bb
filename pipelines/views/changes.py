"""Clearing and marking what ran: a page that shows what would be touched, then one confirmation. Notes."""

from functools import partial
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access.http import SignedInRequest
from core.lib import edge
from core.lib.errors import InvalidRequest
from pipelines import previews, queries, run_changes, selected
from pipelines.change_form import MarkForm, ScopeForm
from pipelines.models import Pipeline, Run
from pipelines.scope import Scope
from pipelines.views.common import age


@require_http_methods(["GET", "POST"])
def run_clear(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Run the tasks of an ended run again: which, what that means, and the button."""
    if request.method == "GET":
        run = queries.run(run_id)
        is_named = not {"task", "group", "tasks"}.isdisjoint(request.GET)
        first = QueryDict("only_failed=true" if run.state == "failed" and not is_named else "")
        return _change_page(request, run, ScopeForm(request.GET or first), "run_clear")
    form = ScopeForm(_sent(request))
    scope = form.scope()
    try:
        run_changes.clear_run(run_id, by=request.user, scope=scope)
    except InvalidRequest as refused:
        return _change_page(request, queries.run(run_id), form, "run_clear", refused)
    messages.success(request, _("Airflow is asked to run its tasks again."))
    return redirect(_page_of(run_id, scope))


@require_GET
def run_clear_preview(request: SignedInRequest, run_id: int) -> HttpResponse:
    """The tasks that would run again."""
    run, scope = queries.run(run_id), ScopeForm(request.GET).scope()
    preview = previews.for_page(partial(previews.of_clearing, run, scope, by=request.user))
    newest = Pipeline.objects.filter(pk=run.dag_id).values_list("version", flat=True).first()
    context = {"run": run, "preview": preview, "scope": scope, "newest": newest}
    return render(request, "pipelines/_clear_preview.html", context)


@require_http_methods(["GET", "POST"])
def run_mark(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Give a run, or tasks of it, a state by hand."""
    if request.method == "GET":
        given = request.GET.copy()
        given.setdefault("state", "success")
        return _change_page(request, queries.run(run_id), MarkForm(given), "run_mark")
    form = MarkForm(_sent(request))
    scope = form.scope()
    state = form.cleaned_data["state"]
    try:
        if scope.is_whole_run:
            run_changes.mark_run(run_id, state, by=request.user, scope=scope)
        else:
            run_changes.mark_task(run_id, scope, state, by=request.user)
    except InvalidRequest as refused:
        return _change_page(request, queries.run(run_id), form, "run_mark", refused)
    messages.success(request, _("Airflow is asked to mark it as “%(state)s”.") % {"state": state})
    return redirect(_page_of(run_id, scope))


@require_GET
def run_mark_preview(request: SignedInRequest, run_id: int) -> HttpResponse:
    """The tasks that would get the state."""
    run, form = queries.run(run_id), MarkForm(request.GET)
    scope = form.scope()
    state = form.cleaned_data["state"]
    preview = previews.for_page(partial(previews.of_marking, run, scope, state, by=request.user))
    context = {"run": run, "preview": preview, "state": state, "scope": scope}
    if scope.is_whole_run and not run.has_ended:
        context["has_teardowns"] = bool(queries.teardowns(queries.graph_of_run(run)))
    return render(request, "pipelines/_mark_preview.html", context)


@require_POST
def run_withdraw(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Take back what Airflow has not confirmed."""
    run_changes.withdraw_wish(run_id, by=request.user)
    messages.success(request, _("Withdrawn. What Airflow has done of it by now stays."))
    return redirect("pipelines:run-detail", run_id)


@require_POST
def run_note(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Write the run's note."""
    note = request.POST.get("note", "").replace("\r\n", "\n").strip()
    run_changes.write_note(run_id, note, by=request.user)
    messages.success(request, _("The note is written."))
    return redirect("pipelines:run-detail", run_id)


@require_POST
def runs_selected(request: SignedInRequest) -> HttpResponse:
    """What would become of the ticked runs, and, once that is confirmed, what became of each."""
    numbers = [edge.whole_or(None, value) for value in request.POST.getlist("run")]
    ticked = [number for number in numbers if number is not None]
    what, is_done = request.POST.get("what", ""), request.POST.get("confirmed") == "1"
    selection = (selected.apply if is_done else selected.preview)(what, ticked, by=request.user)
    context = {"selection": selection, "is_done": is_done, **age()}
    return render(request, "pipelines/runs_selected.html", context)


def _sent(request: SignedInRequest) -> QueryDict:
    """What was sent, without what must not stand in the address of a preview."""
    sent = request.POST.copy()
    sent.pop("csrfmiddlewaretoken", None)
    return sent


def _change_page(
    request: SignedInRequest, run: Run, form: ScopeForm, template: str, refused: InvalidRequest | None = None
) -> HttpResponse:
    """refused: why what was sent is not done; each fault stands at its field, and what was typed stays."""
    scope = form.scope()
    for fault in refused.errors if refused else ():
        form.add_error(fault["field"], fault["message"])
    preview_url = reverse(f"pipelines:{template.replace('_', '-')}-preview", args=[run.pk])
    context: dict[str, Any] = {"run": run, "form": form, "scope": scope, "preview_url": preview_url, **age()}
    return render(request, f"pipelines/{template}.html", context, status=422 if refused else 200)


def _page_of(run_id: int, scope: Scope) -> str:
    """The run's page, at the task in question."""
    page = reverse("pipelines:run-detail", args=[run_id])
    if not scope.task_id:
        return page
    index = {} if scope.map_index is None else {"map_index": scope.map_index}
    return f"{page}?{urlencode({'task': scope.task_id, **index})}"
