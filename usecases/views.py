"""Pages of the use cases."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from core.access import policy
from core.access.http import SignedInRequest
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unavailable
from core.lib.htmx import go_to
from core.lib.paging import page_of
from usecases import actions, catalogue, drawings, queries
from usecases.catalogue import UseCase
from usecases.forms import LoadTestForm

SHOWN = 5  # batches and decisions on the page of a use case; all of them have pages of their own


@require_GET
def usecase_list(request: SignedInRequest) -> HttpResponse:
    """All of them, each with what it has got so far."""
    rows, is_away = [], False
    for usecase in catalogue.USECASES:
        try:
            totals = None if is_away else queries.totals(usecase.name)
        except Unavailable:
            totals, is_away = None, True
        rows.append((usecase, totals, queries.pipelines(usecase), queries.champion(usecase)))
    return render(request, "usecases/usecase_list.html", {"rows": rows, "is_away": is_away})


@require_GET
def usecase_detail(request: SignedInRequest, name: str) -> HttpResponse:
    """One use case: its pipelines, data, decisions and champion; before its first run, what it will do."""
    usecase = catalogue.find(name)
    values = {
        "usecase": usecase,
        "pipelines": queries.pipelines(usecase),
        "champion": queries.champion(usecase),
    }
    try:
        with queries.reachable():
            values |= {
                "totals": queries.totals(name),
                "batches": list(queries.batches(name)[:SHOWN]),
                "decisions": list(queries.decisions(name)[:SHOWN]),
            }
    except Unavailable as error:
        values["away"] = error.message
    return render(request, "usecases/usecase_detail.html", values)


@require_GET
def batch_list(request: SignedInRequest, name: str) -> HttpResponse:
    """What came in, newest first."""
    usecase = catalogue.find(name)
    with queries.reachable():
        page = page_of(request, queries.batches(name))
    return render(request, "usecases/batch_list.html", {"usecase": usecase, "page": page})


@require_GET
def batch_detail(request: SignedInRequest, name: str, batch_id: int) -> HttpResponse:
    """A batch, and the rows of it that could not be taken."""
    usecase = catalogue.find(name)
    with queries.reachable():
        batch = queries.batches(name).filter(pk=batch_id).first()
        if batch is None:
            raise NotFound(_("There is no batch %(id)s.") % {"id": batch_id})
        page = page_of(request, queries.rejected(batch))
    shows_rows = not usecase.is_personal or policy.allows(request.user, "predictions.see_all")
    values = {"usecase": usecase, "batch": batch, "page": page, "shows_rows": shows_rows}
    return render(request, "usecases/batch_detail.html", values)


@require_GET
def decision_list(request: SignedInRequest, name: str) -> HttpResponse:
    """Every decision with its reason, its criteria, and both models' figures beside each other."""
    usecase = catalogue.find(name)
    with queries.reachable():
        page = page_of(request, queries.decisions(name))
    return render(request, "usecases/decision_list.html", {"usecase": usecase, "page": page})


@require_http_methods(["GET", "POST"])
def load_test_list(request: SignedInRequest, name: str) -> HttpResponse:
    """Load tests of the model with their charts, and the form that asks for one."""
    usecase = catalogue.find(name)
    form = LoadTestForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _is_requested(request, usecase, form):
        messages.success(request, _("The load test begins as soon as a worker is free."))
        return go_to(request, reverse("usecases:load-test-list", args=[name]))
    with queries.reachable():
        page = page_of(request, queries.load_tests(name))
    values = {
        "usecase": usecase,
        "form": form,
        "page": page,
        "tests": [(test, drawings.load_chart(test)) for test in page["rows"]],
        "champion": queries.champion(usecase),
    }
    status = 422 if form.is_bound else 200
    return render(request, "usecases/load_test_list.html", values, status=status)


def _is_requested(request: SignedInRequest, usecase: UseCase, form: LoadTestForm) -> bool:
    try:
        with queries.reachable():
            actions.request_load_test(usecase, **form.cleaned_data, by=request.user)
    except (Conflict, InvalidRequest) as error:
        for fault in error.errors or [{"field": "", "message": error.message}]:
            form.add_error(fault["field"] or None, fault["message"])
        return False
    return True
