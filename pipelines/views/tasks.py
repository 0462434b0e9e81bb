"""What a task left and how often it was tried, as boxes of the run's page."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from core.lib import edge
from pipelines import queries, task_facts

PARTS = ("log", "xcom", "rendered", "tries")


def shown_part(request: SignedInRequest) -> str:
    """What of the task the page shows; its log unless `?show=` says otherwise."""
    wanted = request.GET.get("show", "")
    return wanted if wanted in PARTS else "log"


@require_GET
def task_box(request: SignedInRequest, run_id: int, task_id: str) -> HttpResponse:
    """XComs, rendered fields or tries of a task (`?show=`), asked of Airflow now or a moment ago."""
    run, show = queries.run(run_id), shown_part(request)
    index = edge.whole_or(-1, request.GET.get("map_index"), least=-1)
    box = task_facts.for_page(show, run, task_id, index)
    context = {"run": run, "box": box, "show": show, "task_id": task_id, "map_index": index}
    return render(request, "pipelines/_task_box.html", context)
