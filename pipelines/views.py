"""Pages of pipelines and runs, and the fragments that keep them fresh."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.lib.errors import InvalidRequest
from console.lib.models import SyncState
from pipelines import actions, grid, log_reading, pictures, queries
from pipelines.airflow_auth import SERVICE
from pipelines.forms import TriggerForm
from pipelines.models import Pipeline, Run, RunState, TaskInstance

PAGE = 50
SHOWN_LINES = 400
TEXT_PIECE = 5000


def _page(request: HttpRequest, rows: QuerySet) -> dict[str, Any]:
    """A page of rows by number, with links that keep the filters."""
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()

    def url(number: int) -> str:
        query["page"] = str(number)
        return f"{request.path}?{query.urlencode()}"

    return {
        "rows": list(page.object_list),
        "n": page.paginator.count,
        "next_url": url(page.next_page_number()) if page.has_next() else None,
        "previous_url": url(page.previous_page_number()) if page.has_previous() else None,
        "previous_label": _("Previous"),
    }


def _age() -> dict[str, Any]:
    return {"stale_since": SyncState.stale_since(SERVICE)}


# --- pipelines


@require_GET
def pipeline_list(request: HttpRequest) -> HttpResponse:
    """All pipelines, with a strip of their last runs."""
    given = request.GET
    found = queries.pipelines(text=given.get("q", ""), tag=given.get("tag", ""), show=given.get("show", ""))
    page = _page(request, found)
    strips = queries.strips(row.dag_id for row in page["rows"])
    for row in page["rows"]:
        row.strip = strips.get(row.dag_id, [])
    context = {"page": page, "faults": queries.import_faults(), **_age()}
    if request.htmx:
        return render(request, "pipelines/_pipeline_table.html", context)
    return render(request, "pipelines/pipeline_list.html", {**context, "tags": queries.tags()})


@require_GET
def pipeline_detail(request: HttpRequest, dag_id: str) -> HttpResponse:
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
        **_age(),
    }
    template = "_pipeline_grid" if request.htmx else "pipeline_detail"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def pipeline_graph(request: HttpRequest, dag_id: str) -> HttpResponse:
    """The graph as it is now."""
    pipeline = queries.pipeline(dag_id)
    context = {"pipeline": pipeline, "graph": pictures.coloured(pipeline.tasks, None), **_age()}
    return render(request, "pipelines/pipeline_graph.html", context)


@require_GET
def pipeline_runs(request: HttpRequest, dag_id: str) -> HttpResponse:
    """Every run of one pipeline."""
    pipeline = queries.pipeline(dag_id)
    page = _page(request, queries.runs(dag_id=dag_id, state=request.GET.get("state", "")))
    context = {"pipeline": pipeline, "page": page, "states": RunState.choices, **_age()}
    template = "_run_table" if request.htmx else "pipeline_runs"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def pipeline_facts(request: HttpRequest, dag_id: str) -> HttpResponse:
    """Documentation, parameters, and where it comes from."""
    context = {"pipeline": queries.pipeline(dag_id), "airflow_url": settings.CONSOLE_AIRFLOW_URL, **_age()}
    return render(request, "pipelines/pipeline_facts.html", context)


@require_POST
def pipeline_pause(request: HttpRequest, dag_id: str) -> HttpResponse:
    """Move the switch."""
    is_paused = request.POST.get("is_paused") == "1"
    pipeline = actions.set_paused(dag_id, is_paused=is_paused, by=request.user)
    if request.htmx:
        return render(request, "pipelines/_pause_switch.html", {"pipeline": pipeline})
    messages.success(request, _("Paused.") if is_paused else _("Resumed."))
    return HttpResponseRedirect(_back(request, pipeline))


def _back(request: HttpRequest, pipeline: Pipeline) -> str:
    target = request.POST.get("next", "")
    is_safe = url_has_allowed_host_and_scheme(target, allowed_hosts=None)
    return target if is_safe else redirect("pipelines:pipeline-detail", pipeline.dag_id).url


# --- runs


@require_http_methods(["GET", "POST"])
def run_trigger(request: HttpRequest, dag_id: str) -> HttpResponse:
    """The form to run a pipeline; `?from=` fills it with an earlier run's settings."""
    pipeline = queries.pipeline(dag_id)
    if request.method == "GET":
        earlier = _earlier(request, dag_id)
        form = TriggerForm(pipeline.params, conf=earlier.conf if earlier else None)
        return _trigger_form(request, pipeline, form)
    form = TriggerForm(pipeline.params, request.POST)
    if form.is_valid() and (run := _triggered(form, dag_id, request)):
        messages.success(request, _("Asked for. Airflow gets it now."))
        target = redirect("pipelines:run-detail", run.pk)
        return HttpResponse(headers={"HX-Redirect": target.url}) if request.htmx else target
    return _trigger_form(request, pipeline, form, status=422)


def _triggered(form: TriggerForm, dag_id: str, request: HttpRequest) -> Run | None:
    try:
        return actions.trigger_run(dag_id, conf=form.conf(), note=form.cleaned_data["note"], by=request.user)
    except InvalidRequest as error:
        for fault in error.errors:
            form.add_fault(fault)
        return None


def _earlier(request: HttpRequest, dag_id: str) -> Run | None:
    number = request.GET.get("from", "")
    return Run.objects.filter(pk=number, dag_id=dag_id).first() if number.isdecimal() else None


def _trigger_form(
    request: HttpRequest, pipeline: Pipeline, form: TriggerForm, status: int = 200
) -> HttpResponse:
    template = "_trigger_form" if request.htmx else "run_trigger"
    context = {"pipeline": pipeline, "form": form, **_age()}
    return render(request, f"pipelines/{template}.html", context, status=status)


@require_GET
def run_list(request: HttpRequest) -> HttpResponse:
    """Every run of every pipeline."""
    given = request.GET
    page = _page(request, queries.runs(state=given.get("state", ""), text=given.get("q", "")))
    context = {"page": page, "states": RunState.choices, "has_pipeline": True, **_age()}
    template = "_run_table" if request.htmx else "run_list"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def recent_runs(request: HttpRequest) -> HttpResponse:
    """The box of the overview."""
    return render(request, "pipelines/_recent_runs.html", {"runs": queries.recent_runs()})


@require_GET
def run_detail(request: HttpRequest, run_id: int) -> HttpResponse:
    """A run: facts, graph, tasks, and the log of one task (`?task=&map_index=&try=&level=`)."""
    run = queries.run(run_id)
    tasks = queries.task_instances(run)
    shown = pictures.chosen_task(request, tasks)
    context = {
        "run": run,
        "tasks": tasks,
        "shown": shown,
        "graph": pictures.coloured(queries.graph_of(run.dag_id), run, tasks=tasks, shown=shown),
        "median_s": queries.median_duration_s(run.dag_id),
        "pipeline_is_paused": queries.is_paused(run.dag_id),
        "airflow_url": f"{settings.CONSOLE_AIRFLOW_URL}/dags/{run.dag_id}/runs/{run.dag_run_id}",
        **_age(),
    }
    if request.htmx:
        return render(request, "pipelines/_run_body.html", context)
    return render(request, "pipelines/run_detail.html", context | _shown_log(request, run, shown))


@require_POST
def run_cancel(request: HttpRequest, run_id: int) -> HttpResponse:
    """End a run."""
    run = actions.cancel_run(run_id, by=request.user)
    is_done = run.state == RunState.CANCELLED
    messages.success(request, _("Cancelled.") if is_done else _("Airflow is asked to end this run."))
    return redirect("pipelines:run-detail", run_id)


@require_POST
def run_clear(request: HttpRequest, run_id: int) -> HttpResponse:
    """Run the tasks of an ended run again."""
    actions.clear_run(run_id, by=request.user, only_failed=request.POST.get("only_failed") == "1")
    messages.success(request, _("Airflow is asked to run its tasks again."))
    return redirect("pipelines:run-detail", run_id)


# --- logs


@require_GET
def run_log(request: HttpRequest, run_id: int) -> HttpResponse:
    """The log that the run's page shows: of the task that `?task=` names, else of the one now at work."""
    run = queries.run(run_id)
    shown = pictures.chosen_task(request, queries.task_instances(run))
    return render(request, "pipelines/_log.html", {"run": run, **_shown_log(request, run, shown)})


def _shown_log(request: HttpRequest, run: Run, shown: TaskInstance | None) -> dict[str, Any]:
    query = request.GET.copy()
    follows = "task" not in query
    refresh_url = f"{reverse('pipelines:run-log', args=[run.pk])}?{query.urlencode()}"
    context: dict[str, Any] = {"refresh_url": refresh_url, "may_change": follows and not run.has_ended}
    if shown is None:
        return context
    map_index = query.get("map_index") if not follows else None
    return context | _log_context(request, run, shown.task_id, map_index=_number(map_index, shown.map_index))


@require_GET
def task_log(request: HttpRequest, run_id: int, task_id: str) -> HttpResponse:
    """The last lines of a task's log, on a page of its own."""
    run = queries.run(run_id)
    map_index = _number(request.GET.get("map_index"), -1)
    context = {"run": run, **_log_context(request, run, task_id, map_index=map_index)}
    template = "_log" if request.htmx else "task_log"
    return render(
        request, f"pipelines/{template}.html", {**context, "refresh_url": request.get_full_path(), **_age()}
    )


def _log_context(request: HttpRequest, run: Run, task_id: str, *, map_index: int) -> dict[str, Any]:
    number = _number(request.GET.get("try"), None)
    view = log_reading.open_log(run, task_id, map_index=map_index, try_number=number)
    piece = view.tail(limit=SHOWN_LINES, before=_number(request.GET.get("before"), None))
    level = request.GET.get("level", "")
    lines = (
        [line for line in piece.lines if line.level not in {"debug", "info", ""}] if level else piece.lines
    )
    return {"log": view, "piece": piece, "lines": lines, "level": level}


def _number(value: str | None, default: Any) -> Any:
    return int(value) if value and value.lstrip("-").isdecimal() else default


@require_GET
def task_log_text(request: HttpRequest, run_id: int, task_id: str) -> StreamingHttpResponse:
    """What is copied of a log, as a text file."""
    index, number = request.GET.get("map_index"), request.GET.get("try")
    view = log_reading.open_log(
        queries.run(run_id), task_id, map_index=_number(index, -1), try_number=_number(number, None)
    )
    name = f"{task_id}-run{run_id}-try{view.try_number}.log"
    answer = StreamingHttpResponse(_text(view), content_type="text/plain; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{name.encode("ascii", "replace").decode()}"'
    return answer


def _text(view: log_reading.LogView) -> Iterator[str]:
    start = 0
    while (piece := view.read(start, limit=TEXT_PIECE)).lines:
        for line in piece.lines:
            at = line.at.isoformat(timespec="milliseconds") if line.at else ""
            yield f"{at} {line.level} {line.message}\n".lstrip()
        start = piece.end
