"""Pages of the use cases."""

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from core.lib.errors import NotFound, Unavailable
from core.lib.paging import page_of
from usecases import catalogue, queries

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
    return render(request, "usecases/batch_detail.html", {"usecase": usecase, "batch": batch, "page": page})


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
