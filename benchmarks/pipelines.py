"""Server time, bytes and queries of each page of pipelines, with a mirror full of rows.

    python -m benchmarks.pipelines [--rounds 30]

Needs no stack: a PostgreSQL in a temporary folder gets 500 pipelines with 10,000 runs, and one of 200 tasks
with 50 runs. Pages are asked for in this process, through every middleware, as a signed-in scientist. Exit
status 1 when the p95 of a page is over 50 ms (the grid: 150 ms), or the grid over 300 kB.
"""

import argparse
import contextlib
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import django

N_PIPELINES, N_RUNS = 500, 10_000
LARGE, N_TASKS, N_LARGE_RUNS = "bench_large", 200, 50
N_TASKS_OF_OTHERS = 4
MOST_MS, MOST_GRID_MS, MOST_GRID_BYTES = 50.0, 150.0, 300_000
PARAMS = [
    {"name": "n", "value": 1, "schema": {"type": "integer", "minimum": 1}, "description": "How many"},
    {"name": "names", "value": ["a", "b"], "schema": {"type": "array"}, "description": "One a line"},
    {"name": "is_quick", "value": False, "schema": {"type": "boolean"}, "description": ""},
]


@contextlib.contextmanager
def throwaway_console() -> Iterator[None]:
    """Django on a database of its own, with every table and no row."""
    from stack import nowhere, throwaway

    with tempfile.TemporaryDirectory(prefix="atalaya-bench-") as folder, throwaway.server() as url:
        var_dir = Path(folder)
        (var_dir / "static").mkdir()
        nowhere.forget_the_callers()
        database = url.format(database="console")
        os.environ |= nowhere.settings(var_dir, database_url=database, usecases_url=database)
        os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
        from django.conf import settings

        plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
        settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
        django.setup()
        logging.disable(logging.WARNING)  # there is no broker, which every live page would say
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield


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


def signed_in() -> Any:
    """A scientist's browser."""
    from django.contrib.auth.models import Group
    from django.test import Client

    from core.access.models import User

    user = User.objects.create_user("bench")
    user.groups.add(Group.objects.get(name="scientist"))
    client = Client()
    client.force_login(user)
    return client


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
        "grid, 200 x 50": f"/pipelines/{LARGE}",
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


class Figures(NamedTuple):
    """Of one page: server time in ms (cpu: of this process alone, whatever else the machine does)."""

    median: float
    p95: float
    cpu: float
    n_bytes: int
    n_queries: int


def measured(client: Any, url: str, rounds: int) -> Figures:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    answer = client.get(url)
    if answer.status_code != 200:
        sys.exit(f"{url} answered {answer.status_code}.")
    with CaptureQueriesContext(connection) as queries:
        client.get(url)
    n_queries = len(queries)
    times_ms, cpu_ms = [], []
    for _ in range(rounds):
        began_at, cpu_at = time.perf_counter(), time.process_time()
        client.get(url)
        times_ms.append((time.perf_counter() - began_at) * 1000)
        cpu_ms.append((time.process_time() - cpu_at) * 1000)
    p95 = statistics.quantiles(times_ms, n=20, method="inclusive")[-1]
    median = statistics.median
    return Figures(median(times_ms), p95, median(cpu_ms), len(answer.content), n_queries)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 when every page keeps within its bound."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args(arguments).rounds
    is_slow = False
    with throwaway_console():
        from core.lib import collector

        fill()
        client = signed_in()
        for url in pages().values():
            client.get(url)
        collector.spare_what_stays()  # as the web process does once it is ready
        print(f"{N_PIPELINES} pipelines, {N_RUNS} runs; {rounds} rounds each")
        print(f"{'page':<22}{'median':>10}{'p95':>10}{'cpu':>10}{'bytes':>12}{'queries':>9}")
        for name, url in pages().items():
            found = measured(client, url, rounds)
            is_grid = name == "grid, 200 x 50"
            is_over = found.p95 > (MOST_GRID_MS if is_grid else MOST_MS) or (
                is_grid and found.n_bytes > MOST_GRID_BYTES
            )
            is_slow |= is_over
            mark = "  over its bound" if is_over else ""
            print(
                f"{name:<22}{found.median:>7.1f} ms{found.p95:>7.1f} ms{found.cpu:>7.1f} ms"
                f"{found.n_bytes:>12,}{found.n_queries:>9}{mark}",
                flush=True,
            )
    return int(is_slow)


if __name__ == "__main__":
    sys.exit(main())
