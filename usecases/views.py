"""Pages of the use cases."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from core.access.http import SignedInRequest
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unavailable
from core.lib.htmx import go_to
from core.lib.paging import page_of
from usecases import actions, catalogue, drawings, queries
from usecases.catalogue import UseCase
from usecases.forms import LoadTestForm

FEATURES_A_PAGE = 25
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
                "groups": queries.groups(name) if name == "forest_cover" else [],
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
        batch = queries.batch(name, batch_id)
        page = page_of(request, queries.rejected(batch))
    shows_rows = queries.shows_rows(usecase, request.user)
    values = {"usecase": usecase, "batch": batch, "page": page, "shows_rows": shows_rows}
    return render(request, "usecases/batch_detail.html", values)


@require_GET
def decision_list(request: SignedInRequest, name: str) -> HttpResponse:
    """Every decision with its reason, its criteria, and both models' figures beside each other."""
    usecase = catalogue.find(name)
    with queries.reachable():
        page = page_of(request, queries.decisions(name))
        trained = queries.trained(usecase)
    values = {"usecase": usecase, "page": page, "trained": trained}
    return render(request, "usecases/decision_list.html", values)


@require_GET
def feature_list(request: SignedInRequest, name: str) -> HttpResponse:
    """What the feature store holds of it, and one row by its id; while Redis is away, that it is."""
    usecase = catalogue.find(name)
    if not usecase.entity:
        raise NotFound(_("%(title)s keeps no features.") % {"title": usecase.title})
    id_, version = request.GET.get("id", ""), request.GET.get("version", "")
    values = {"usecase": usecase, "id": id_, "version_name": version}
    status = 200
    try:
        shelf = queries.shelf(usecase.entity, version)
        values |= {"shelf": shelf, "page": page_of(request, shelf.rows, size=FEATURES_A_PAGE)}
        if id_:
            values["found"] = queries.features(usecase.entity, id_, version)
    except Unavailable as error:
        values["away"], status = error.message, error.status
    except NotFound as error:
        values["not_found"], status = error.message, error.status
    return render(request, "usecases/feature_list.html", values, status=status)


@require_GET
def outliers(request: SignedInRequest, name: str) -> HttpResponse:
    """A fragment: the last odd rows that its model was asked about."""
    usecase = catalogue.find(name)
    values = {"usecase": usecase, "predictions": queries.outliers(usecase, request.user, n=SHOWN)}
    return render(request, "usecases/_outliers.html", values)


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
