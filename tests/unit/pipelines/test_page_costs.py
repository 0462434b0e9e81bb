"""Each page of pipelines asks the database as often for much as for little."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pipelines.models import Asset, ImportFault, Pipeline, PipelineSource, Preset, Run, TaskInstance
from tests.pipeline_rows import PARAMS, STARTED, make_question

DAG = "etl"
FEW, MANY = 2, 15
PAGES = (
    "/pipelines",
    "/pipelines?last=failed&order=state&q=e&tag=x",
    "/pipelines?order=-last",
    "/import-errors",
    "/assets",
    "/runs",
    "/runs?q=etl&state=failed",
    "/runs?q=etl&type=manual&by=me&since=2026-01-01&until=2027-01-01&order=-duration",
    "/runs/recent",
    "/runs/questions",
    "/runs/questions?show=closed",
    "/runs/questions/{question}",
    f"/pipelines/{DAG}",
    f"/pipelines/{DAG}?fold=group",
    f"/pipelines/{DAG}/graph",
    f"/pipelines/{DAG}/runs",
    f"/pipelines/{DAG}/durations",
    f"/pipelines/{DAG}/code",
    f"/pipelines/{DAG}/details",
    f"/pipelines/{DAG}/trigger",
    f"/pipelines/{DAG}/trigger?from={{run}}",
    "/runs/{run}",
    "/runs/{run}?unfold=group.task_0",
    "/runs/{run}/log",
    "/runs/{run}/failure",
    "/runs/{run}/clear",
    "/runs/{run}/mark",
    "/runs/{run}/tasks/group.task_0/log",
    "/api/v1/pipelines",
    "/api/v1/pipelines?order=state",
    f"/api/v1/pipelines/{DAG}",
    f"/api/v1/pipelines/{DAG}/runs",
    "/api/v1/runs",
    "/api/v1/runs?q=etl&type=manual&by=me&order=-duration",
    "/api/v1/runs/{run}/tasks",
    "/api/v1/runs/questions",
)


def fill(n: int) -> dict[str, int]:
    """n pipelines, and of everything that belongs to one of them n; the first run is the page's."""
    tasks = [
        {"id": f"group.task_{i}", "label": "", "operator": "@task", "downstream": [], "is_mapped": False}
        for i in range(n)
    ]
    Pipeline.objects.bulk_create(
        Pipeline(dag_id=name, display_name=name, tasks=tasks, tags=["x"], next_attempt_at=None, version=1)
        for name in (DAG, *(f"etl_{i}" for i in range(n)))
    )
    Pipeline.objects.filter(pk=DAG).update(param_list=PARAMS)
    runs = Run.objects.bulk_create(
        Run(
            dag_id=f"etl_{i}" if i >= n else DAG,
            dag_run_id=f"run_{i}",
            state="failed",
            wish="",
            next_attempt_at=None,
            conf={"n_iter": i + 1},
            created_at=STARTED + timedelta(minutes=i),
            started_at=STARTED,
            ended_at=STARTED + timedelta(seconds=i),
        )
        for i in range(2 * n)
    )
    TaskInstance.objects.bulk_create(
        TaskInstance(run=run, task_id=task["id"], state="failed", try_number=1, started_at=STARTED)
        for run in runs
        for task in tasks
    )
    TaskInstance.objects.bulk_create(
        TaskInstance(run=runs[0], task_id="group.task_0", map_index=index, state="failed", try_number=1)
        for index in range(n)
    )
    for i, run in enumerate(runs):
        question = make_question(run, closed_at=timezone.now() if i % 2 else None)
    ends = [{"dag_id": DAG, "task_id": ""}]
    Asset.objects.bulk_create(
        Asset(airflow_id=i, name=f"a{i}", producers=ends, consumers=ends) for i in range(n)
    )
    ImportFault.objects.bulk_create(
        ImportFault(airflow_id=i, filename=f"{i}.py", stack_trace="no") for i in range(n)
    )
    PipelineSource.objects.bulk_create(
        PipelineSource(dag_id=DAG, version=i + 1, text="x = 1") for i in range(n)
    )
    Preset.objects.bulk_create(Preset(dag_id=DAG, name=f"p{i}") for i in range(n))
    return {"run": runs[0].pk, "question": question.pk}


def costs(page, names: dict[str, int]) -> dict[str, int]:
    """How often each page asks the database; what htmx fetches again is part of it."""
    page.get("/runs")  # what a process asks once
    found = {}
    for url in PAGES:
        with CaptureQueriesContext(connection) as asked:
            answer = page.get(url.format(**names))
        assert answer.status_code == 200, url
        found[url] = len(asked)
    return found


@pytest.mark.django_db
def test_a_page_costs_the_same_however_much_there_is(page, real_redis):
    few = costs(page, fill(FEW))
    for model in (Pipeline, Run, Asset, ImportFault, PipelineSource, Preset):
        model.objects.all().delete()
    many = costs(page, fill(MANY))
    assert {url: (few[url], n) for url, n in many.items() if n > few[url]} == {}
    assert {url: n for url, n in many.items() if n > 25} == {}
