"""Pages of pipelines: the list, and one with its grid, graph, runs and facts."""

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from core.access.http import SignedInRequest
from core.lib import edge
from core.lib.htmx import is_htmx
from core.lib.paging import page_of
from pipelines import (
    actions,
    alert_rules,
    asset_events,
    code_diff,
    durations,
    graph,
    grid,
    labels,
    listing,
    pictures,
    queries,
)
from pipelines.models import MOST_SWITCHES, Pipeline
from pipelines.views import airflow
from pipelines.views.common import age, folded, listed_runs

MOST_BOXES = 60
LISTED = 25  # a page of the list: each row has the strip of its last runs


@require_GET
def pipeline_list(request: SignedInRequest) -> HttpResponse:
    """All pipelines, with their last runs."""
    wanted = listing.Wanted.of(request.GET)
    found = listing.ordered(listing.narrowed(wanted), wanted.order).defer(*listing.LONG)
    page = page_of(request, found, size=LISTED)
    page["rows"] = listing.rows(page["rows"])
    context = {"page": page, "wanted": wanted, "n_faults": listing.import_faults().count(), **age()}
    if is_htmx(request):
        return render(request, "pipelines/_pipeline_table.html", context)
    tags, owners = listing.facets()
    choices = {"tags": tags, "owners": owners, "shown": listing.SHOWN, "last_states": listing.LAST}
    return render(request, "pipelines/pipeline_list.html", {**context, **choices})


@require_GET
def import_fault_list(request: SignedInRequest) -> HttpResponse:
    """DAG files that Airflow cannot read, each with what Python said."""
    page = page_of(request, listing.import_faults())
    page["rows"] = listing.with_pipelines(page["rows"])
    template = "_import_fault_list" if is_htmx(request) else "import_fault_list"
    return render(request, f"pipelines/{template}.html", {"page": page, **age()})


@require_GET
def pipeline_detail(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """The grid of the last runs, one of them chosen (`?run=`), and the graph in that run's colours."""
    pipeline = queries.pipeline(dag_id)
    runs = queries.grid_runs(dag_id)
    cells = queries.cells(runs)
    wanted, fold = request.GET.get("run", ""), folded(request)
    chosen = next((run for run in runs if str(run.pk) == wanted), runs[-1] if runs else None)
    chosen = queries.run(chosen.pk) if chosen else None  # with its settings, which the others do not bring
    shown = cells.get(chosen.pk, {}) if chosen else {}
    n_boxes = len(graph.folded(pipeline.tasks, fold))
    is_large = n_boxes > MOST_BOXES  # below the grid; it is drawn on the pages that are its own
    context = {
        "pipeline": pipeline,
        "grid": grid.draw(pipeline.tasks, runs, cells, fold=fold),
        "run": chosen,
        "median_s": queries.median_duration_s(dag_id),
        "graph": pictures.coloured([] if is_large else pipeline.tasks, cells=shown, fold=fold),
        "n_too_many": n_boxes if is_large else 0,
        "groups": pictures.groups(pipeline.tasks, fold),
        "run_groups": sorted(labels.counted(shown, labels.groups_in(pipeline.tasks, shown)).items()),
        **age(),
    }
    template = "_pipeline_grid" if is_htmx(request) else "pipeline_detail"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def pipeline_graph(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """The graph as it is now."""
    pipeline, fold = queries.pipeline(dag_id), folded(request)
    drawn = pictures.coloured(pipeline.tasks, fold=fold)
    context = {"pipeline": pipeline, "graph": drawn, "groups": pictures.groups(pipeline.tasks, fold), **age()}
    return render(request, "pipelines/pipeline_graph.html", context)


@require_GET
def pipeline_runs(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """Its runs, as the address asks for them."""
    pipeline = queries.pipeline(dag_id)
    listed, status = listed_runs(request, dag_id=dag_id)
    template = "_run_table" if is_htmx(request) else "pipeline_runs"
    context = {"pipeline": pipeline, **listed, **age()}
    return render(request, f"pipelines/{template}.html", context, status=status)


@require_GET
def pipeline_durations(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """How long its runs took, and which tasks took most of it."""
    pipeline = queries.pipeline(dag_id)
    chart = durations.draw(queries.timed_runs(dag_id))
    context = {"pipeline": pipeline, "chart": chart, "slowest": queries.slowest_tasks(dag_id), **age()}
    template = "_durations" if is_htmx(request) else "pipeline_durations"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def pipeline_code(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """The file of a version (`?version=`), the newest unless told, and what changed in it."""
    pipeline = queries.pipeline(dag_id)
    wanted = edge.whole_or(None, request.GET.get("version"))
    source, versions = queries.source(dag_id, wanted)
    before = queries.source_before(source) if source else None
    context = {
        "pipeline": pipeline,
        "source": source,
        "versions": versions,
        "missing": wanted if source is None or wanted not in {None, source.version} else None,
        "before": before,
        "diff": code_diff.between(before.text, source.text) if before and source else None,
        **age(),
    }
    return render(request, "pipelines/pipeline_code.html", context)


@require_GET
def pipeline_facts(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """Documentation, parameters, schedule, assets, and where it comes from."""
    pipeline = queries.pipeline(dag_id)
    context = {
        "pipeline": pipeline,
        "next_times": queries.next_times(pipeline),
        "makes": queries.assets(producer=dag_id),
        "takes": queries.assets(consumer=dag_id),
        "rules": alert_rules.with_alerts(alert_rules.rules_for(dag_id)),
        "signs_in": airflow.signs_in(request),
        **age(),
    }
    return render(request, "pipelines/pipeline_facts.html", context)


@require_GET
def asset_list(request: SignedInRequest) -> HttpResponse:
    """What tasks make and pipelines wait for."""
    page = page_of(request, queries.assets(text=request.GET.get("q", "")))
    template = "_asset_table" if is_htmx(request) else "asset_list"
    return render(request, f"pipelines/{template}.html", {"page": page, **age()})


@require_GET
def asset_detail(request: SignedInRequest, asset_id: int) -> HttpResponse:
    """Who makes and takes it, and when it changed."""
    asset = asset_events.asset(asset_id)
    page = page_of(request, asset_events.events(asset))
    page["rows"] = asset_events.with_runs(page["rows"])
    template = "_asset_events" if is_htmx(request) else "asset_detail"
    return render(request, f"pipelines/{template}.html", {"asset": asset, "page": page, **age()})


@require_POST
def pipeline_pause(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """Move the switch."""
    is_paused = request.POST.get("is_paused") == "1"
    pipeline = actions.set_paused(dag_id, is_paused=is_paused, by=request.user)
    if is_htmx(request):
        return render(request, "pipelines/_pause_switch.html", {"pipeline": pipeline})
    messages.success(request, _("Paused.") if is_paused else _("Resumed."))
    return HttpResponseRedirect(_back(request, pipeline))


@require_POST
def pipeline_switches(request: SignedInRequest) -> HttpResponse:
    """Move the switches of the selected ones: first what would change, then with `confirm` the change."""
    is_paused = request.POST.get("is_paused") == "1"
    wanted = dict.fromkeys(request.POST.getlist("dag_id"))
    dag_ids = [dag_id for dag_id in wanted if "\x00" not in dag_id][:MOST_SWITCHES]
    back = edge.own_address(request.POST.get("next", ""), reverse("pipelines:pipeline-list"))
    if not dag_ids:
        messages.warning(request, _("Nothing was selected."))
        return HttpResponseRedirect(back)
    if "confirm" not in request.POST:
        moved, stays = listing.switched(dag_ids, is_paused=is_paused)
        context = {"moved": moved, "stays": stays, "is_paused": is_paused, "back": back, **age()}
        return render(request, "pipelines/pipeline_switches.html", context)
    _tell_of(request, actions.set_many_paused(dag_ids, is_paused=is_paused, by=request.user), is_paused)
    return HttpResponseRedirect(back)


def _tell_of(request: SignedInRequest, outcomes: list[actions.Switched], is_paused: bool) -> None:
    n = sum(not one.error for one in outcomes)
    if n and is_paused:
        messages.success(request, ngettext("%(n)d pipeline paused.", "%(n)d pipelines paused.", n) % {"n": n})
    elif n:
        messages.success(
            request, ngettext("%(n)d pipeline resumed.", "%(n)d pipelines resumed.", n) % {"n": n}
        )
    for one in outcomes:
        if one.error:
            messages.error(request, f"{one.dag_id}: {one.error}")


def _back(request: SignedInRequest, pipeline: Pipeline) -> str:
    return edge.own_address(
        request.POST.get("next", ""), reverse("pipelines:pipeline-detail", args=[pipeline.dag_id])
    )
