"""Pages of runs: the form that asks for one, the list, and one with its tasks."""

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access.http import SignedInRequest
from core.lib import edge
from core.lib.errors import InvalidRequest, NotFound
from core.lib.htmx import go_to, is_htmx
from pipelines import (
    actions,
    asset_events,
    details,
    failures,
    gantt,
    labels,
    listing,
    pictures,
    queries,
    run_changes,
    run_tasks,
    starting,
    unfolding,
)
from pipelines import params as rules
from pipelines.backfill_models import BackfillState
from pipelines.forms import TriggerForm
from pipelines.models import Pipeline, Run, RunState
from pipelines.views import airflow
from pipelines.views.common import age, folded, listed_runs
from pipelines.views.logs import shown_log, shown_task
from pipelines.views.tasks import shown_part, start_of

MOST_IDS = 100  # of runs in an address


@require_http_methods(["GET", "POST"])
def run_trigger(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """The form to run a pipeline, filled as `starting` reads the address. It can also keep a preset.

    Its raw JSON goes into the fields with `apply`.
    """
    pipeline = queries.pipeline(dag_id)
    if request.method == "GET" and details.freshen(pipeline):
        pipeline = queries.pipeline(dag_id)
    start = starting.of(pipeline, request.GET)
    if request.method == "GET":
        form = TriggerForm(pipeline.params, conf=start.conf, own=start.own)
        form.refuse(start.refused)
        return _trigger_form(request, pipeline, form, start)
    if "apply" in request.POST:
        return _applied(request, pipeline, start)
    form = _posted(request, pipeline, start)
    if not form.is_valid() and details.freshen(pipeline):
        pipeline = queries.pipeline(dag_id)
        form = _posted(request, pipeline, start)
    if form.is_valid() and _is_in_step(form, request) and (target := _done(form, dag_id, request)):
        return go_to(request, target)
    return _trigger_form(request, pipeline, form, start, status=422, **_edited_raw(request))


@require_POST
def run_conf(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """What the fields say as raw JSON, while somebody fills them in."""
    pipeline = queries.pipeline(dag_id)
    form = _posted(request, pipeline, starting.Start())
    raw = _raw(form.conf())
    return render(request, "pipelines/_trigger_raw.html", {"pipeline": pipeline, "raw": raw})


def _posted(request: SignedInRequest, pipeline: Pipeline, start: starting.Start) -> TriggerForm:
    """The form that was sent, with boxes of the kinds in which it was drawn."""
    conf = starting.base(request.POST.get("base"))
    if conf is None and start.run is None and "from" in request.GET:
        raise NotFound(_("The run whose settings filled this form is gone. Open the form again."))
    return TriggerForm(pipeline.params, request.POST, conf=start.conf if conf is None else conf)


def _applied(request: SignedInRequest, pipeline: Pipeline, start: starting.Start) -> HttpResponse:
    """The form with the raw JSON in its fields; the rest stays as it was typed."""
    own = {name: request.POST[name] for name in starting.OWN if name in request.POST}
    try:
        conf = starting.an_object(request.POST.get("raw", ""))
    except InvalidRequest as error:
        form = _posted(request, pipeline, start)
        fault = {"raw_fault": error.message, "raw": request.POST.get("raw", "")}
        return _trigger_form(request, pipeline, form, start, status=422, **fault)
    form = TriggerForm(pipeline.params, conf=conf, own=own)
    faults = {fault["field"]: fault["message"] for fault in rules.faults(pipeline.params, conf)}
    form.refuse(faults)
    return _trigger_form(request, pipeline, form, start)


def _is_in_step(form: TriggerForm, request: SignedInRequest) -> bool:
    """Whether nobody touched the raw JSON, or it says the same as the fields.

    A script brings it up to the fields a moment after they change, so the text alone says nothing: it comes
    with the text that it was filled with.
    """
    edited = _edited_raw(request)
    if not edited or starting.base(edited["raw"]) == form.conf():
        return True
    form.add_fault("raw", _("The JSON below says something else than the fields: put it into them first."))
    return False


def _edited_raw(request: SignedInRequest) -> dict[str, str]:
    """The raw JSON that somebody wrote, with what stood there before; empty when nobody touched it."""
    raw, shown = request.POST.get("raw"), request.POST.get("raw_shown", "")
    is_same = raw is None or raw.splitlines() == shown.splitlines()
    return {} if is_same else {"raw": str(raw), "raw_shown": shown}


def _done(form: TriggerForm, dag_id: str, request: SignedInRequest) -> str:
    """Where to go on; empty when it could not be done, and the form says why."""
    try:
        return _saved(form, dag_id, request) if "save" in request.POST else _triggered(form, dag_id, request)
    except InvalidRequest as error:
        for fault in error.errors:
            form.add_fault(fault["field"], fault["message"])
        return ""


def _triggered(form: TriggerForm, dag_id: str, request: SignedInRequest) -> str:
    run = actions.trigger_run(
        dag_id,
        conf=form.conf(),
        note=form.cleaned_data["note"].strip(),
        **{name: form.cleaned_data[name] for name in starting.TIMES},
        partition_key=form.cleaned_data["partition_key"].strip(),
        dag_run_id=form.cleaned_data["dag_run_id"].strip(),
        unpause="unpause" in request.POST,
        by=request.user,
    )
    messages.success(request, _("Asked for. Airflow gets it now."))
    return reverse("pipelines:run-detail", args=[run.pk])


def _saved(form: TriggerForm, dag_id: str, request: SignedInRequest) -> str:
    name = request.POST.get("preset_name", "")
    preset = actions.save_preset(dag_id, name=name, conf=form.conf(), by=request.user)
    messages.success(request, _("Kept as “%(name)s”.") % {"name": preset.name})
    return f"{reverse('pipelines:run-trigger', args=[dag_id])}?preset={preset.pk}"


@require_POST
def preset_remove(request: SignedInRequest, preset_id: int) -> HttpResponse:
    dag_id = actions.remove_preset(preset_id, by=request.user)
    messages.success(request, _("Removed."))
    return redirect("pipelines:run-trigger", dag_id)


def _trigger_form(
    request: SignedInRequest,
    pipeline: Pipeline,
    form: TriggerForm,
    start: starting.Start,
    *,
    status: int = 200,
    **more: str,
) -> HttpResponse:
    context = {
        "pipeline": pipeline,
        "form": form,
        "start": start,
        "raw": _raw(form.conf()),
        "preset_name": request.POST.get("preset_name", start.preset.name if start.preset else ""),
        **more,
    }
    if is_htmx(request):
        return render(request, "pipelines/_trigger_form.html", context, status=status)
    context |= {"recent": starting.recent(pipeline), "presets": starting.presets(pipeline), **age()}
    return render(request, "pipelines/run_trigger.html", context, status=status)


def _raw(conf: dict[str, Any]) -> str:
    return json.dumps(conf, indent=2, ensure_ascii=False)


@require_GET
def run_list(request: SignedInRequest) -> HttpResponse:
    """Every run of every pipeline."""
    asked = request.GET.get("ids", "").split(",")[:MOST_IDS]
    ids = [number for one in asked if (number := edge.whole_or(None, one)) is not None]
    listed, status = listed_runs(request, ids=ids)
    context = {**listed, "has_pipeline": True, "n_inputs": queries.inputs().count(), **age()}
    template = "_run_table" if is_htmx(request) else "run_list"
    return render(request, f"pipelines/{template}.html", context, status=status)


@require_GET
def recent_runs(request: SignedInRequest) -> HttpResponse:
    """The box of the overview."""
    n = queries.n_own_failures(request.user)
    words = f"{queries.MOST_COUNTED}+" if n > queries.MOST_COUNTED else str(n)
    context = {
        "runs": queries.recent_runs(request.user),
        "n_failed_last": listing.n_failed_last(),
        "n_own_failures": words if n > queries.MOST_FAILURES else "",
    }
    return render(request, "pipelines/_recent_runs.html", context)


@require_GET
def run_by_dag_run(request: SignedInRequest) -> HttpResponse:
    """To the run with Airflow's id `?dag_run_id=`, for apps that know no other; to the list of several.

    `?dag_id=`: of this pipeline.
    """
    dag_run_id = request.GET.get("dag_run_id", "")
    found = queries.runs_with_id(dag_run_id, request.GET.get("dag_id", ""))
    if len(found) == 1:
        return redirect("pipelines:run-detail", found[0].pk)
    return redirect(f"{reverse('pipelines:run-list')}?{urlencode({'q': dag_run_id})}")


@require_GET
def run_detail(request: SignedInRequest, run_id: int) -> HttpResponse:
    """A run: what failed, its tasks with the log of one beside them, the times, the graph, the facts.

    `?task=&map_index=` choose the task, `?show=` what of it, `?try=&level=` the log; `?unfold=&of=&page=` the
    instances of a mapped task, `?fold=` the groups of tasks that are one box of the graph.
    """
    run = queries.run(run_id)
    nodes = queries.graph_of_run(run)
    tasks = run_tasks.rows(run, nodes)
    shown = shown_task(request, run, tasks)
    ids = {task.task_id for task in tasks}
    median_s, fold = queries.median_duration_s(run.dag_id), folded(request)
    context = {
        "run": run,
        "tasks": tasks,
        "groups": sorted(labels.counted(ids, labels.groups_in(nodes, ids)).items()),
        "can_pick": sum(task.n for task in tasks) > 1 and run.can_change,
        "shown": shown,
        "unfolded": unfolding.of(request, run, tasks, shown),
        "show": shown_part(request),
        "start": start_of(request),
        "failure": failures.of_run(run, tasks, nodes),
        "gantt": gantt.draw(tasks, now=timezone.now()),
        "graph": pictures.coloured(
            nodes, cells={task.task_id: task.cell for task in tasks}, shown=shown, fold=fold
        ),
        "foldable": pictures.groups(nodes, fold),
        "median_s": median_s,
        "against_median": queries.against_median(run, median_s),
        "input_requests": queries.open_inputs(run, request.user),
        "has_teardowns": bool(queries.teardowns(nodes)),
        **_waits(run),
        "taken": asset_events.of_run(run),
        "signs_in": airflow.signs_in(request),
        **age(),
    }
    if is_htmx(request):
        return render(request, "pipelines/_run_body.html", context)
    return render(request, "pipelines/run_detail.html", context | shown_log(request, run, shown))


def _waits(run: Run) -> dict[str, Any]:
    """Why Airflow does not begin it: what of that is known."""
    if run.state != RunState.QUEUED:
        return {}
    is_later = run.run_after is not None and run.run_after > timezone.now()
    return {
        "waits_for_switch": queries.is_paused(run.dag_id),
        "waits_for_backfill": run.backfill is not None and run.backfill.state == BackfillState.PAUSED,
        "waits_until": run.run_after if is_later else None,
        "n_in_the_way": queries.n_in_the_way(run),
    }


@require_GET
def run_failure(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Why it failed, once more: its log has grown."""
    run = queries.run(run_id)
    return render(request, "pipelines/_failure.html", {"run": run, "failure": failures.read(run)})


@require_POST
def run_cancel(request: SignedInRequest, run_id: int) -> HttpResponse:
    """End a run."""
    run = run_changes.cancel_run(run_id, by=request.user)
    is_done = run.state == RunState.CANCELLED
    messages.success(request, _("Cancelled.") if is_done else _("Airflow is asked to end this run."))
    return redirect("pipelines:run-detail", run_id)
