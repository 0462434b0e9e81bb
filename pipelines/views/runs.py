"""Pages of runs: the form that asks for one, the list, and one with its tasks."""

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
from core.lib.paging import page_of
from pipelines import actions, failures, gantt, pictures, queries
from pipelines.forms import TriggerForm
from pipelines.models import NEVER_RAN, Pipeline, Run, RunState
from pipelines.views import airflow
from pipelines.views.common import age
from pipelines.views.logs import shown_log
from pipelines.views.tasks import shown_part

MOST_IDS = 100  # of runs in an address


@require_http_methods(["GET", "POST"])
def run_trigger(request: SignedInRequest, dag_id: str) -> HttpResponse:
    """The form to run a pipeline; `?from=` fills it with an earlier run's settings."""
    pipeline = queries.pipeline(dag_id)
    earlier = _earlier(request, dag_id)
    conf = earlier.conf if earlier else None
    if request.method == "GET":
        return _trigger_form(request, pipeline, TriggerForm(pipeline.params, conf=conf), earlier)
    if (
        earlier is None and "from" in request.GET
    ):  # its boxes may be of other kinds than those of the defaults
        raise NotFound(_("The run whose settings filled this form is gone. Open the form again."))
    form = TriggerForm(pipeline.params, request.POST, conf=conf)
    if form.is_valid() and (run := _triggered(form, dag_id, request)):
        messages.success(request, _("Asked for. Airflow gets it now."))
        target = reverse("pipelines:run-detail", args=[run.pk])
        return go_to(request, target)
    return _trigger_form(request, pipeline, form, earlier, status=422)


def _triggered(form: TriggerForm, dag_id: str, request: SignedInRequest) -> Run | None:
    try:
        return actions.trigger_run(
            dag_id,
            conf=form.conf(),
            note=form.cleaned_data["note"].strip(),
            logical_date=form.cleaned_data["logical_date"],
            by=request.user,
        )
    except InvalidRequest as error:
        for fault in error.errors:
            form.add_fault(fault["field"], fault["message"])
        return None


def _earlier(request: SignedInRequest, dag_id: str) -> Run | None:
    number = edge.whole_or(None, request.GET.get("from"))
    return None if number is None else Run.objects.filter(pk=number, dag_id=dag_id).first()


def _trigger_form(
    request: SignedInRequest, pipeline: Pipeline, form: TriggerForm, earlier: Run | None, *, status: int = 200
) -> HttpResponse:
    template = "_trigger_form" if is_htmx(request) else "run_trigger"
    context = {"pipeline": pipeline, "form": form, "earlier": earlier, **age()}
    return render(request, f"pipelines/{template}.html", context, status=status)


@require_GET
def run_list(request: SignedInRequest) -> HttpResponse:
    """Every run of every pipeline."""
    given = request.GET
    ids = [edge.whole_or(None, one) for one in given.get("ids", "").split(",")[:MOST_IDS]]
    found = queries.runs(
        state=given.get("state", ""), text=given.get("q", ""), ids=[one for one in ids if one is not None]
    )
    context = {"page": page_of(request, found), "states": RunState.choices, "has_pipeline": True, **age()}
    context["n_inputs"] = queries.inputs().count()
    template = "_run_table" if is_htmx(request) else "run_list"
    return render(request, f"pipelines/{template}.html", context)


@require_GET
def recent_runs(request: SignedInRequest) -> HttpResponse:
    """The box of the overview."""
    return render(request, "pipelines/_recent_runs.html", {"runs": queries.recent_runs(request.user)})


@require_GET
def run_by_dag_run(request: SignedInRequest) -> HttpResponse:
    """To the run with Airflow's id `?dag_run_id=`, for apps that know no other; to the list of several."""
    dag_run_id = request.GET.get("dag_run_id", "")
    found = queries.runs_with_id(dag_run_id)
    if len(found) == 1:
        return redirect("pipelines:run-detail", found[0].pk)
    return redirect(f"{reverse('pipelines:run-list')}?{urlencode({'q': dag_run_id})}")


@require_GET
def run_detail(request: SignedInRequest, run_id: int) -> HttpResponse:
    """A run: what failed, its tasks with the log of one beside them, the times, the graph, the facts.

    `?task=&map_index=` choose the task, `?show=` what of it, `?try=&level=` the log.
    """
    run = queries.run(run_id)
    tasks = queries.task_instances(run)
    shown = pictures.chosen_task(request, tasks)
    nodes = queries.graph_of(run.dag_id)
    median_s = queries.median_duration_s(run.dag_id)
    context = {
        "run": run,
        "tasks": tasks,
        "shown": shown,
        "show": shown_part(request),
        "failure": failures.of_run(run, tasks, nodes),
        "gantt": gantt.draw(tasks, now=timezone.now(), never_ran=NEVER_RAN),
        "graph": pictures.coloured(nodes, run, tasks=tasks, shown=shown),
        "median_s": median_s,
        "against_median": queries.against_median(run, median_s),
        "input_requests": queries.open_inputs(run),
        "pipeline_is_paused": queries.is_paused(run.dag_id),
        "signs_in": airflow.signs_in(request),
        **age(),
    }
    if is_htmx(request):
        return render(request, "pipelines/_run_body.html", context)
    return render(request, "pipelines/run_detail.html", context | shown_log(request, run, shown))


@require_GET
def run_failure(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Why it failed, once more: its log has grown."""
    run = queries.run(run_id)
    found = failures.of_run(run, queries.task_instances(run), queries.graph_of(run.dag_id))
    return render(request, "pipelines/_failure.html", {"run": run, "failure": found})


@require_POST
def run_cancel(request: SignedInRequest, run_id: int) -> HttpResponse:
    """End a run."""
    run = actions.cancel_run(run_id, by=request.user)
    is_done = run.state == RunState.CANCELLED
    messages.success(request, _("Cancelled.") if is_done else _("Airflow is asked to end this run."))
    return redirect("pipelines:run-detail", run_id)
