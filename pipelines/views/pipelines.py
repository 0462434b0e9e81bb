"""Pages of pipelines: the list, and one with its grid, graph, runs and facts."""

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from core.access.http import SignedInRequest
from core.lib import edge
from core.lib.htmx import is_htmx
from core.lib.paging import page_of
from pipelines import actions, grid, pictures, queries
from pipelines.models import Pipeline, RunState
from pipelines.views import airflow
from pipelines.views.common import age


@require_GET
def pipeline_list(request: SignedInRequest) -> HttpResponse:
    """All pipelines, with a strip of their last runs."""
    given = request.GET
    found = queries.pipelines(text=given.get("q", ""), tag=given.get("tag", ""), show=given.get("show", ""))
    page = page_of(request, found)
    strips = queries.strips(row.dag_id for row in page["rows"])
    for row in page["rows"]:
        row.strip = strips.get(row.dag_id, [])
    context = {"page": page, "faults": queries.import_faults(), **age()}
    if is_htmx(request):
        return render(request, "pipelines/_pipeline_table.html", context)
    return render(request, "pipelines/pipeline_list.html", {**context, "tags": queries.tags()})


@require_GET
def pipeline_detail(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """The grid of the last runs, one of them chosen (`?run=`), and the graph in that run's colours."""
    pipeline = queries.pipeline(dag_id)
    runs = queries.grid_runs(dag_id)
    wanted = request.GET.get("run", "")
    chosen = next((run for run in runs if str(run.pk) == wanted), runs[-1] if runs else None)
    context = {
        "pipeline": pipeline,
        "grid": grid.draw(pipeline.tasks, runs),
        "run": chosen,
        "median_s": queries.median_duration_s(dag_id),
        "graph": pictures.coloured(pipeline.tasks, chosen),
        **age(),
    }
    template = "_pipeline_grid" if is_htmx(request) else "pipeline_detail"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def pipeline_graph(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """The graph as it is now."""
    pipeline = queries.pipeline(dag_id)
    context = {"pipeline": pipeline, "graph": pictures.coloured(pipeline.tasks, None), **age()}
    return render(request, "pipelines/pipeline_graph.html", context)


@require_GET
def pipeline_runs(request: SignedInRequest, dag_id: str) -> HttpResponse:
    pipeline = queries.pipeline(dag_id)
    page = page_of(request, queries.runs(dag_id=dag_id, state=request.GET.get("state", "")))
    context = {"pipeline": pipeline, "page": page, "states": RunState.choices, **age()}
    template = "_run_table" if is_htmx(request) else "pipeline_runs"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def pipeline_facts(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """Documentation, parameters, and where it comes from."""
    context = {"pipeline": queries.pipeline(dag_id), "signs_in": airflow.signs_in(request), **age()}
    return render(request, "pipelines/pipeline_facts.html", context)


@require_POST
def pipeline_pause(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """Move the switch."""
    is_paused = request.POST.get("is_paused") == "1"
    pipeline = actions.set_paused(dag_id, is_paused=is_paused, by=request.user)
    if is_htmx(request):
        return render(request, "pipelines/_pause_switch.html", {"pipeline": pipeline})
    messages.success(request, _("Paused.") if is_paused else _("Resumed."))
    return HttpResponseRedirect(_back(request, pipeline))


def _back(request: SignedInRequest, pipeline: Pipeline) -> str:
    return edge.own_address(
        request.POST.get("next", ""), reverse("pipelines:pipeline-detail", args=[pipeline.dag_id])
    )
