"""Server time, bytes and queries of each page of pipelines, with a mirror full of rows.

    python -m benchmarks.pipelines [--rounds 30]

Needs no stack: a PostgreSQL in a temporary folder gets 500 pipelines with 10,000 runs, and one of 200 tasks
with 50 runs. Pages are asked for in this process, through every middleware, as a signed-in scientist. Exit
status 1 when the p95 of a page is over 50 ms (the grid: 150 ms), or the grid over 300 kB.
"""

import sys
from datetime import timedelta
from typing import Any

from benchmarks.pages import MOST_MS, Figures, compared_with_bounds

N_PIPELINES, N_RUNS = 500, 10_000
LARGE, N_TASKS, N_LARGE_RUNS = "bench_large", 200, 50
N_TASKS_OF_OTHERS = 4
GRID = "grid, 200 x 50"
MOST_GRID_MS, MOST_GRID_BYTES = 150.0, 300_000
PARAMS = [
    {"name": "n", "value": 1, "schema": {"type": "integer", "minimum": 1}, "description": "How many"},
    {"name": "names", "value": ["a", "b"], "schema": {"type": "array"}, "description": "One a line"},
    {"name": "is_quick", "value": False, "schema": {"type": "boolean"}, "description": ""},
]


def fill() -> None:
    """Pipelines in ten groups of owners and forty tags, and their runs, every seventh of them failed."""
    from django.utils import timezone

    from pipelines.models import Pipeline, Run, TaskInstance

    now = timezone.now()
    small = [_task(f"task_{n}", n, N_TASKS_OF_OTHERS) for n in range(N_TASKS_OF_OTHERS)]
    large = [_task(f"group_{n // 20}.task_of_many_{n:03}", n, N_TASKS) for n in range(N_TASKS)]
    names = [LARGE, *(f"bench_{n:03}" for n in range(N_PIPELINES - 1))]
    Pipeline.objects.bulk_create(
        Pipeline(
            dag_id=name,
            display_name=name,
            description="A pipeline of the measurement",
            doc_md="# What it does\n\nNothing.",
            tags=[f"tag_{n % 40}", "bench"],
            owners=[f"team_{n % 10}"],
            schedule="0 6 * * *",
            schedule_text="At 06:00",
            timezone="UTC",
            next_run_at=now + timedelta(hours=n % 24),
            is_paused=n % 5 == 0,
            param_list=PARAMS,
            tasks=large if name == LARGE else small,
            details_at=now,
            next_attempt_at=None,
        )
        for n, name in enumerate(names)
    )
    owners = [LARGE] * N_LARGE_RUNS + [names[1 + n % (N_PIPELINES - 1)] for n in range(N_RUNS - N_LARGE_RUNS)]
    runs = Run.objects.bulk_create(_run(name, n, now) for n, name in enumerate(owners))
    for start in range(0, len(runs), 500):
        batch = runs[start : start + 500]
        TaskInstance.objects.bulk_create(
            TaskInstance(
                run=run,
                task_id=task["id"],
                try_number=1,
                state=run.state if place == 0 else "success",
                operator="@task",
                started_at=run.started_at,
                ended_at=run.ended_at,
                duration_s=1.5 + place,
            )
            for run in batch
            for place, task in enumerate(large if run.dag_id == LARGE else small)
        )
    _analyse()


def _task(task_id: str, place: int, n: int) -> dict[str, Any]:
    after = [] if place == n - 1 or task_id.endswith("9") else [place + 1]
    group = task_id.rpartition(".")[0]
    names = [f"{group}.task_of_many_{one:03}" if group else f"task_{one}" for one in after]
    return {"id": task_id, "label": task_id, "operator": "@task", "downstream": names, "is_mapped": False}


def _run(name: str, n: int, now: Any) -> Any:
    from pipelines.models import Run

    at = now - timedelta(minutes=n)
    return Run(
        dag_id=name,
        dag_run_id=f"scheduled__{n}",
        conf={"n": n % 9},
        state="failed" if n % 7 == 0 else "success",
        wish="",
        next_attempt_at=None,
        run_type="scheduled",
        triggered_by="timetable",
        created_at=at,
        logical_date=at,
        started_at=at,
        ended_at=at + timedelta(seconds=20 + n % 60),
    )


def _analyse() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def pages() -> dict[str, str]:
    """What is asked for, by what it is called here."""
    from pipelines.models import Run

    run = Run.objects.filter(dag_id=LARGE).first()
    return {
        "list": "/pipelines",
        "list, failed last": "/pipelines?last=failed&order=state",
        "list, by last run": "/pipelines?order=-last&page=5",
        "list, searched": "/pipelines?q=bench_4&tag=bench",
        "list (REST)": "/api/v1/pipelines?limit=50",
        "overview's box": "/runs/recent",
        "import errors": "/import-errors",
        GRID: f"/pipelines/{LARGE}",
        "grid, small": "/pipelines/bench_001",
        "graph, 200 tasks": f"/pipelines/{LARGE}/graph",
        "runs of one": f"/pipelines/{LARGE}/runs",
        "durations": f"/pipelines/{LARGE}/durations",
        "code": f"/pipelines/{LARGE}/code",
        "details": f"/pipelines/{LARGE}/details",
        "trigger form": f"/pipelines/{LARGE}/trigger",
        "assets": "/assets",
        "questions": "/runs/questions",
        "all runs": "/runs",
        "run, 200 tasks": f"/runs/{run.pk}",
        "run, 4 tasks": f"/runs/{Run.objects.filter(dag_id='bench_001').first().pk}",
        "clearing it": f"/runs/{run.pk}/clear",
    }


def is_over(name: str, found: Figures) -> bool:
    """Whether a page takes longer or is larger than it may be."""
    if name == GRID:
        return found.p95 > MOST_GRID_MS or found.n_bytes > MOST_GRID_BYTES
    return found.p95 > MOST_MS


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 when every page keeps within its bound."""
    heading = f"{N_PIPELINES} pipelines, {N_RUNS} runs"
    return compared_with_bounds(arguments, __doc__, heading, fill=fill, pages=pages, is_over=is_over)


if __name__ == "__main__":
    sys.exit(main())
