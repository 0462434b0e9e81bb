"""What a task left and how often it was tried, as boxes of the run's page."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from core.lib import edge
from pipelines import queries, task_facts

MOST_XCOMS = 10**6
PARTS = ("log", "xcom", "rendered", "tries", "details")


def shown_part(request: SignedInRequest) -> str:
    """What of the task the page shows; its log unless `?show=` says otherwise."""
    wanted = request.GET.get("show", "")
    return wanted if wanted in PARTS else "log"


def start_of(request: SignedInRequest) -> int:
    """How many XComs come before those that the page shows."""
    return int(edge.whole_or(0, request.GET.get("start"), most=MOST_XCOMS))


def _page(box: task_facts.Box, address: str, task_id: str, map_index: int) -> dict[str, Any]:
    """The way to the other pages of XComs, for the pager; empty where there is one page."""
    if box.start == 0 and box.next_start is None:
        return {}

    def url(start: int) -> str:
        place = {"task": task_id, "map_index": map_index, "show": "xcom", "start": start}
        return f"{address}?{urlencode(place)}#log"

    return {
        "n": box.n_all,
        "previous_url": url(0) if box.start else "",
        "next_url": "" if box.next_start is None else url(box.next_start),
    }


@require_GET
def task_box(request: SignedInRequest, run_id: int, task_id: str) -> HttpResponse:
    """XComs, rendered fields or tries of a task (`?show=`), asked of Airflow now or a moment ago."""
    run, show = queries.run(run_id), shown_part(request)
    index = edge.whole_or(-1, request.GET.get("map_index"), least=-1)
    box = task_facts.for_page(show, run, task_id, index, start_of(request))
    context = {"run": run, "box": box, "show": show, "task_id": task_id, "map_index": index}
    context["page"] = _page(box, reverse("pipelines:run-detail", args=[run_id]), task_id, index)
    return render(request, "pipelines/_task_box.html", context)
