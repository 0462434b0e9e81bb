"""The log of a task: as a box of the run's page, as a page, as a text file."""

from collections.abc import Iterator, Sequence
from typing import Any

from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from core.lib import downloads, edge
from core.lib.htmx import is_htmx
from core.lib.templatetags import numbers
from pipelines import log_reading, queries, run_tasks
from pipelines.log_lines import LogLine
from pipelines.models import Run, TaskInstance
from pipelines.spool import LEVELS, LONGEST_SEARCH, Wanted
from pipelines.views.common import age

SHOWN_LINES = 400
LINES_BEFORE_FAULT = 20
LEVEL_WORDS = [
    (None, gettext_lazy("All levels")),
    ("warning", gettext_lazy("Warnings")),
    ("error", gettext_lazy("Errors")),
]
TEXT_PIECE = 5000


@require_GET
def run_log(request: SignedInRequest, run_id: int) -> HttpResponse:
    """The log that the run's page shows: of the task that `?task=` names, else of the one now at work."""
    run = queries.run(run_id)
    shown = shown_task(request, run)
    return render(request, "pipelines/_log.html", {"run": run, **shown_log(request, run, shown)})


def shown_task(
    request: SignedInRequest, run: Run, rows: Sequence[run_tasks.TaskRow] | None = None
) -> TaskInstance | None:
    """The task that `?task=&map_index=` name, else what a reader looks for. rows: where they were read."""
    name = request.GET.get("task", "")
    if name:
        index = edge.whole_or(None, request.GET.get("map_index"), least=-1, most=2**31 - 1)
        if (found := run_tasks.named(run, name, index)) is not None:
            return found
    return run_tasks.to_read(run, run_tasks.rows(run) if rows is None else rows)


def shown_log(request: SignedInRequest, run: Run, shown: TaskInstance | None) -> dict[str, Any]:
    """What the box needs. Without `?task=` it follows the task at work, without `?try=` the latest try."""
    query = request.GET
    refresh_url = f"{reverse('pipelines:run-log', args=[run.pk])}?{query.urlencode()}"
    context: dict[str, Any] = {"refresh_url": refresh_url}
    if shown is None:
        return context
    return context | _log_context(request, run, shown.task_id, map_index=shown.map_index)


@require_GET
def task_log(request: SignedInRequest, run_id: int, task_id: str) -> HttpResponse:
    """The last lines of a task's log, on a page of its own."""
    run = queries.run(run_id)
    map_index = edge.whole_or(-1, request.GET.get("map_index"))
    context = {"run": run, **_log_context(request, run, task_id, map_index=map_index)}
    template = "_log" if is_htmx(request) else "task_log"
    return render(
        request, f"pipelines/{template}.html", {**context, "refresh_url": request.get_full_path(), **age()}
    )


def _log_context(request: SignedInRequest, run: Run, task_id: str, *, map_index: int) -> dict[str, Any]:
    """`?level=&q=` narrow it down; `?before=`, `?after=` or `?at=fault` choose a place other than its end."""
    query = request.GET
    view = log_reading.open_log(
        run, task_id, map_index=map_index, try_number=edge.whole_or(None, query.get("try"))
    )
    level = query.get("level") if query.get("level") in LEVELS else None
    wanted = Wanted(LEVELS.get(level or "", frozenset()), query.get("q", "").strip()[:LONGEST_SEARCH])
    wraps = query.get("wrap") != "0"
    return {
        "log": view,
        "level": level,
        "levels": LEVEL_WORDS,
        "q": wanted.text,
        "is_narrow": bool(wanted),
        "wraps": wraps,
        "other_wrap": 0 if wraps else None,
        "follows": "try" not in query,  # the latest try, whichever that will be
        **_shown(view, query, wanted),
    }


def _shown(view: log_reading.LogView, query: QueryDict, wanted: Wanted) -> dict[str, Any]:
    """The piece; fault_at: the line of it that is the first error, None where that was not asked for."""
    after = edge.whole_or(None, query.get("after"))
    if query.get("at") == "fault":
        fault = view.first_fault()
        if fault is not None:
            before = view.tail(limit=LINES_BEFORE_FAULT, before=fault)
            piece = view.read(before.start, limit=SHOWN_LINES)
            return {"piece": piece, "fault_at": len(before.lines), "is_end": piece.end >= view.size_bytes}
        return {"piece": view.tail(limit=SHOWN_LINES), "has_no_fault": True, "is_end": True}
    if after is not None:
        piece = view.read(after, limit=SHOWN_LINES)
    else:
        before_ = edge.whole_or(None, query.get("before"))
        piece = view.tail(limit=SHOWN_LINES, before=before_, wanted=wanted)
    return {"piece": piece, "is_end": bool(wanted) or piece.end >= view.size_bytes}


@require_GET
def task_log_text(request: SignedInRequest, run_id: int, task_id: str) -> StreamingHttpResponse:
    """What is copied of a log, as a text file, which begins and ends with what it lacks."""
    view = log_reading.open_log(
        queries.run(run_id),
        task_id,
        map_index=edge.whole_or(-1, request.GET.get("map_index")),
        try_number=edge.whole_or(None, request.GET.get("try")),
    )
    index = f"-{view.task.map_index}" if view.task.map_index >= 0 else ""
    name = f"{task_id}{index}-run{run_id}-try{view.try_number}.log"
    return downloads.response(request, _text(view), name=name, content_type="text/plain; charset=utf-8")


def _text(view: log_reading.LogView) -> Iterator[bytes]:
    start = view.cut.n_bytes
    if start:
        yield f"# {missing(view)}\n".encode()
    while (piece := view.read(start, limit=TEXT_PIECE)).lines:
        yield "".join(_plain(line) for line in piece.lines).encode()
        start = piece.end
    if words := unfinished(view):
        yield "".join(f"# {line}\n" for line in words.splitlines()).encode()


def unfinished(view: log_reading.LogView) -> str:
    """What may follow after the last line, or why nothing does; empty for a whole log."""
    trouble = view.copy.delivery_error if view.copy else ""
    if view.is_complete:
        return trouble
    if not view.has_ended:
        words = _("This is not the end: the task has not ended, and what it writes after this is missing.")
    elif view.has_end:
        words = _("This try has ended; what its callbacks and mails may still write here is missing.")
    else:
        words = _("This is not the end: the log is still being copied. Download it again in a moment.")
    return f"{words}\n{trouble}".rstrip()


def missing(view: log_reading.LogView) -> str:
    """What stands before the first line of a log that is not whole."""
    words = _("The first %(n)s lines of this log (%(size)s) are not kept here; Airflow has them.")
    return words % {"n": numbers.whole(view.cut.n_lines), "size": numbers.binary_size(view.cut.n_bytes)}


def _plain(line: LogLine) -> str:
    at = line.at.isoformat(timespec="milliseconds") if line.at else ""
    return f"{at} {line.level} {line.message}\n".lstrip()
