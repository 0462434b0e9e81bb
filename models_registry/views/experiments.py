"""Pages of experiments and MLflow runs, and the boxes that only MLflow itself can fill."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from core.lib.errors import InvalidRequest
from core.lib.htmx import is_htmx
from core.lib.pages import Order
from core.lib.paging import page_of
from models_registry import comparison, gateway, previews, queries, run_filter
from models_registry.gateway import check_path
from models_registry.views.answers import shared, walked

MOST_COMPARED = 10
MOST_POINTS_SHOWN = 200
MOST_FILES = 200
MOST_PICTURES = 60


@require_GET
def experiment_list(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()[:250]
    rows = queries.experiments()
    found = page_of(request, rows.filter(name__icontains=text) if text else rows)
    template = (
        "models_registry/_experiment_table.html"
        if is_htmx(request)
        else "models_registry/experiment_list.html"
    )
    return render(request, template, {"page": found, **shared(), **walked()})


@require_GET
def experiment_detail(request: HttpRequest, experiment_id: str) -> HttpResponse:
    """Runs of an experiment with their numbers, filtered and ordered by the URL."""
    experiment = queries.experiment(experiment_id)
    runs = experiment.runs.filter(gone_at=None).defer("tags")
    context: dict[str, Any] = {"experiment": experiment, **shared(), **walked()}
    try:
        runs = run_filter.matching(runs, request.GET.get("filter", ""))
    except InvalidRequest as error:
        context["filter_error"] = error.message
        runs = runs.none()
    runs, order = run_filter.ordered(runs, request.GET.get("order", ""))
    found = page_of(request, Order(runs, order).all())
    primary = queries.primary_metrics(run.pk for run in found["rows"])
    is_all = request.GET.get("columns") == "all"
    columns = comparison.columns(found["rows"], primary=primary, everything=is_all)
    context |= {"page": found, "columns": columns}
    template = (
        "models_registry/_run_table.html" if is_htmx(request) else "models_registry/experiment_detail.html"
    )
    return render(request, template, context)


@require_GET
def experiment_compare(request: HttpRequest, experiment_id: str) -> HttpResponse:
    """Chosen runs side by side: where they differ, and which is best."""
    experiment = queries.experiment(experiment_id)
    chosen = list(dict.fromkeys(request.GET.getlist("run")))
    wanted = chosen[:MOST_COMPARED]
    runs = list(experiment.runs.filter(pk__in=wanted).order_by("started_at"))
    versions = queries.versions_of_runs(wanted)
    primary = {row.primary_metric for some in versions.values() for row in some}
    context = {
        "experiment": experiment,
        "runs": runs,
        "n_chosen": len(chosen),
        "n_compared": len(wanted),
        "headers": comparison.headers(runs, versions),
        "groups": comparison.compare(runs, primary),
        **shared(),
    }
    return render(request, "models_registry/experiment_compare.html", context)


@require_GET
def run_detail(request: HttpRequest, run_id: str) -> HttpResponse:
    """One run: parameters, metrics, pictures, tags, files."""
    run = queries.run(run_id)
    context = {"run": run, "versions": queries.versions_of_runs([run_id]).get(run_id, []), **shared()}
    template = "models_registry/_run_body.html" if is_htmx(request) else "models_registry/run_detail.html"
    return render(request, template, context)


@require_GET
def runs_of_dag_run(request: HttpRequest) -> HttpResponse:
    """Box of a pipeline run: the MLflow runs and versions it made."""
    given = request.GET
    runs = queries.runs_of_dag_run(given.get("dag_id", "")[:250], given.get("dag_run_id", "")[:250])
    made = queries.versions_of_runs(run.pk for run in runs)
    rows = [{"run": run, "versions": made.get(run.pk, [])} for run in runs]
    return render(request, "models_registry/_runs_of_dag_run.html", {"rows": rows})


@require_GET
def run_metric(request: HttpRequest, run_id: str) -> HttpResponse:
    """Box: the history of one metric, from MLflow."""
    run = queries.run(run_id)
    key = request.GET.get("key", "")[:250]
    if key not in run.metrics:
        raise InvalidRequest(_("This run has no such metric."))
    found = gateway.connect().metric_history(run_id, key)
    values = {"run": run, "key": key, "history": found, "shown": found.points[:MOST_POINTS_SHOWN]}
    return render(request, "models_registry/_metric.html", values)


@require_GET
def run_artifacts(request: HttpRequest, run_id: str) -> HttpResponse:
    """Box: files in one folder of the run, so many at a time."""
    run = queries.run(run_id)
    folder = check_path(request.GET.get("path", ""))
    files = gateway.connect().list_files(run.artifact_uri, folder)
    page = page_of(request, files, size=MOST_FILES)
    context = {"run": run, "folder": folder, "parents": previews.parents(folder), "page": page}
    return render(request, "models_registry/_artifacts.html", context)


@require_GET
def run_pictures(request: HttpRequest, run_id: str) -> HttpResponse:
    """Box: the pictures that the evaluation left."""
    run = queries.run(run_id)
    files = gateway.connect().list_files(run.artifact_uri, "evaluation")
    pictures = [file for file in files if previews.is_picture(file)][:MOST_PICTURES]
    return render(request, "models_registry/_pictures.html", {"run": run, "pictures": pictures})


@require_GET
def run_artifact(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """One file through the console: a picture to look at, anything else to download."""
    run, path = queries.run(run_id), check_path(request.GET.get("path", ""))
    previews.check_may_read(request.user, path)
    return previews.response(request, run.artifact_uri, path)


@require_GET
def run_preview(request: HttpRequest, run_id: str) -> HttpResponse:
    """Box: a text file that is not too long."""
    run = queries.run(run_id)
    path = check_path(request.GET.get("path", ""))
    previews.check_may_read(request.user, path)
    context = {"run": run, "path": path, "text": previews.text(run.artifact_uri, path)}
    return render(request, "models_registry/_preview.html", context)
