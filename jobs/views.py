"""Pages of Spark jobs and applications, and the fragments that keep them fresh."""

import uuid
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access.http import SignedInRequest
from core.lib import downloads, edge
from core.lib.errors import ConsoleError, NotFound
from core.lib.htmx import go_to, is_htmx
from core.lib.paging import page_of
from jobs import actions, applications, log_lines, logs, queries, schedules, summaries
from jobs.applications import Application
from jobs.forms import JobForm
from jobs.models import Job, JobSchedule, JobState

RECENT = 5  # on the overview


@require_GET
def job_list(request: SignedInRequest) -> HttpResponse:
    """Every job, narrowed by `?state=` and `?app=`."""
    given = {name: request.GET.get(name, "") for name in ("state", "app")}
    page = page_of(request, queries.recent_jobs(**given))
    values = {
        "rows": [(job, _title(job)) for job in page["rows"]],
        "page": page,
        "states": JobState.choices,
        "applications": applications.all(),
    }
    template = "_job_table" if is_htmx(request) else "job_list"
    return render(request, f"jobs/{template}.html", values)


@require_GET
def recent_jobs(request: SignedInRequest) -> HttpResponse:
    """A fragment for the overview: the newest few."""
    rows = [(job, _title(job)) for job in queries.recent_jobs()[:RECENT]]
    return render(request, "jobs/_recent_jobs.html", {"rows": rows})


@require_GET
def application_list(request: SignedInRequest) -> HttpResponse:
    """What can be submitted."""
    return render(request, "jobs/application_list.html", {"applications": applications.all()})


@require_http_methods(["GET", "POST"])
def job_submit(request: SignedInRequest, app: str) -> HttpResponse:
    """The form of an application; `?from=` fills it with an earlier job's parameters."""
    application = applications.find(app)
    if request.method == "GET":
        return _submit_form(request, JobForm(application, params=_earlier(request, application)))
    form = JobForm(application, request.POST)
    if form.is_valid() and (made := _submitted(form, request)):
        is_job = isinstance(made, Job)
        messages.success(
            request,
            _("Submitted. It starts as soon as there is a place.") if is_job else _("The schedule is kept."),
        )
        return go_to(request, made.get_absolute_url())
    return _submit_form(request, form, status=422)


def _submitted(form: JobForm, request: SignedInRequest) -> Job | JobSchedule | None:
    """A job now, or a schedule when a cron text was typed."""
    wanted: dict[str, Any] = {
        "params": form.params(),
        "by": request.user,
        "target": request.POST.get("target", "default"),
        "retries": edge.whole_or(0, request.POST.get("retries")) or 0,
    }
    cron_text = request.POST.get("cron", "").strip()
    try:
        if cron_text:
            return schedules.create(form.application.name, cron_text=cron_text, **wanted)
        return actions.submit_job(form.application.name, **wanted)
    except ConsoleError as error:
        for fault in error.errors or [{"field": "", "message": error.message}]:
            form.add_fault(fault["field"], fault["message"])
        return None


def _earlier(request: SignedInRequest, application: Application) -> dict[str, Any]:
    """Parameters of the job that `?from=` names, if it ran this application."""
    try:
        job = queries.job(request.GET.get("from", ""))
    except NotFound:
        return {}
    return job.params if job.app == application.name else {}


def _submit_form(request: SignedInRequest, form: JobForm, status: int = 200) -> HttpResponse:
    template = "_submit_form" if is_htmx(request) else "job_submit"
    values = {
        "form": form,
        "application": form.application,
        "targets": queries.targets(),
        "target": request.POST.get("target", "default"),
        "retries": request.POST.get("retries", "0"),
        "cron": request.POST.get("cron", ""),
        "retry_choices": [str(n) for n in range(actions.MOST_RETRIES + 1)],
    }
    return render(request, f"jobs/{template}.html", values, status=status)


@require_GET
def job_detail(request: SignedInRequest, job_id: uuid.UUID) -> HttpResponse:
    """A job: state, progress, parameters, result, and what people did with it."""
    job = queries.job(job_id)
    values = {
        "job": job,
        "title": _title(job),
        "n_before": queries.n_before(job) if job.state == JobState.QUEUED else 0,
        "share_of_stages": job.stages_done / job.stages_total if job.stages_total else 0.0,
        "summary": summaries.summary(job.result) if job.result is not None else None,
        "stream": summaries.stream(job.progress) if job.progress else None,
        "is_known": any(one.name == job.app for one in applications.all()),
    }
    if is_htmx(request):
        return render(request, "jobs/_job_body.html", values)
    return render(request, "jobs/job_detail.html", values | _log_values(request, job))


def _title(job: Job | JobSchedule) -> str:
    """What the application is called; its name when it is no more."""
    return next((one.title for one in applications.all() if one.name == job.app), job.app)


@require_GET
def job_log(request: SignedInRequest, job_id: uuid.UUID) -> HttpResponse:
    """The end of the log, or of what stands before the byte `?before=`: as a box, or a page of its own.

    Of the newest try, or of `?try=`.
    """
    job = queries.job(job_id)
    template = "_log" if is_htmx(request) else "job_log"
    values = {"job": job, "title": _title(job), **_log_values(request, job)}
    return render(request, f"jobs/{template}.html", values)


def _log_values(request: SignedInRequest, job: Job) -> dict[str, Any]:
    if job.cleared_at is not None:
        return {"is_cleared": True}
    before, attempt = edge.whole_or(None, request.GET.get("before")), _attempt(request, job)
    tail = logs.tail(job, before=before, attempt=attempt)
    is_growing = before is None and not job.has_ended and attempt == job.attempt
    return {
        "tail": tail,
        "lines": log_lines.lines(tail.text),
        "is_growing": is_growing,
        "attempt": attempt,
        "attempts": range(1, job.attempt + 1),
    }


def _attempt(request: SignedInRequest, job: Job) -> int:
    return logs.attempt_of(job, edge.whole_or(None, request.GET.get("try")))


@require_GET
def job_log_text(request: SignedInRequest, job_id: uuid.UUID) -> StreamingHttpResponse:
    """The log so far, as a text file: of the newest try, or of `?try=`."""
    job = queries.job(job_id)
    attempt = _attempt(request, job)
    name = f"{job.folder_of(attempt).path.name}.log"
    first = logs.read(job, attempt=attempt)
    return downloads.response(
        request,
        _pieces(job, first, attempt),
        name=f"{job.app}-{name}",
        content_type="text/plain; charset=utf-8",
    )


def _pieces(job: Job, piece: logs.Piece, attempt: int) -> Iterator[bytes]:
    while piece.text:
        yield piece.text.encode()
        piece = logs.read(job, piece.next_cursor, attempt=attempt)


@require_POST
def job_cancel(request: SignedInRequest, job_id: uuid.UUID) -> HttpResponse:
    """End a job."""
    job = actions.cancel_job(queries.job(job_id), by=request.user)
    is_done = job.state == JobState.CANCELLED
    messages.success(request, _("Cancelled.") if is_done else _("Its processes are being ended."))
    return redirect("jobs:job-detail", job_id)


@require_POST
def job_restart(request: SignedInRequest, job_id: uuid.UUID) -> HttpResponse:
    """Go on with a streaming job that ended, as a new job."""
    job = actions.restart_job(queries.job(job_id), by=request.user)
    messages.success(request, _("Submitted. It goes on from the checkpoint as soon as there is a place."))
    return redirect("jobs:job-detail", job.pk)


@require_GET
def schedule_list(request: SignedInRequest) -> HttpResponse:
    """Jobs that come again by themselves."""
    page = page_of(request, queries.schedules())
    values = {"rows": [(one, _title(one)) for one in page["rows"]], "page": page}
    template = "_schedule_table" if is_htmx(request) else "schedule_list"
    return render(request, f"jobs/{template}.html", values)


@require_POST
def schedule_pause(request: SignedInRequest, pk: int) -> HttpResponse:
    """Pause a schedule, or with `is_paused=0` let it go on."""
    is_paused = request.POST.get("is_paused") != "0"
    schedules.set_paused(queries.schedule(pk), is_paused=is_paused, by=request.user)
    return redirect("jobs:schedule-list")


@require_POST
def schedule_delete(request: SignedInRequest, pk: int) -> HttpResponse:
    """Delete a schedule; its jobs stay."""
    schedules.delete(queries.schedule(pk), by=request.user)
    messages.success(request, _("The schedule is gone."))
    return redirect("jobs:schedule-list")
