"""The console beside Airflow's REST: the same grid and run list, what open pages cost Airflow, and clicks.

    python -m benchmarks.airflow_rest [--runs 50] [--tasks 200] [--rounds 10] [--pages 200] [--seconds 60]

On the running stack. Two DAGs of empty tasks are put beside the others, the large one gets `runs` runs that
are marked as successful (which skips their tasks), and both go again afterwards, here and in Airflow. Then:

- the grid: what Airflow's own page asks for (`/ui/grid/structure`, `runs`, `ti_summaries`), what its public
  REST needs for the same squares (`dagRuns`, then `taskInstances` in pages of 100), and the console's page;
- the list of runs: `GET /api/v2/dags/{id}/dagRuns` and `GET /api/v1/pipelines/{id}/runs`, 50 rows each;
- requests that Airflow logs a minute while one page of runs is open, and while `pages` are: each with its
  socket, its boxes, and a fetch for all that it hears of. Airflow does not log questions after its health;
- from a click (`POST …/runs` here) to the run that is queued in Airflow.

Exit status 1 when the console's grid is not ten times as fast as Airflow's REST, or requests differ by more
than 5 per cent.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import httpx
import websockets

LARGE, SMALL = "bench_rest_large", "bench_rest_small"
NAME = "bench-rest"
PAGE = 100  # Airflow cuts larger pages silently
RUNS_THERE, RUNS_HERE = "runs: Airflow's REST", "runs: console's REST"
LEAST_RATIO, MOST_DIFFERENCE = 10.0, 0.05
DAGS = f'''"""Of a measurement (benchmarks/airflow_rest.py); it goes by itself."""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup

with DAG("{SMALL}", schedule=None):
    EmptyOperator(task_id="only")

with DAG("{LARGE}", schedule=None):
    for group in range({{n_tasks}} // 20):
        with TaskGroup(f"group_{{{{group}}}}"):
            before = None
            for number in range(20):
                task = EmptyOperator(task_id=f"task_of_many_{{{{group * 20 + number:03}}}}")
                if before:
                    before >> task
                before = task
'''


class Airflow:
    """Its REST, as somebody who may do all."""

    def __init__(self) -> None:
        from django.conf import settings

        from pipelines import airflow_auth

        token = airflow_auth.signed(NAME, "admin", valid_s=3600)
        self.client = httpx.Client(
            base_url=settings.CONSOLE_AIRFLOW_URL,
            headers={"Authorization": f"Bearer {token}"},
            timeout=120,
            trust_env=False,
        )

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.client.get(path, params=params).raise_for_status()

    def runs(self) -> list[dict[str, Any]]:
        """The newest 50 of the large one."""
        answer = self.get(f"/api/v2/dags/{LARGE}/dagRuns", limit=50, order_by="-id")
        found: list[dict[str, Any]] = answer.json()["dag_runs"]
        return found

    def grid_of_its_page(self) -> int:
        """Bytes of what its own page asks for."""
        run_ids = [run["run_id"] for run in self.get(f"/ui/grid/runs/{LARGE}", limit=50).json()]
        answers = [
            self.get(f"/ui/grid/structure/{LARGE}", limit=50),
            self.get(f"/ui/grid/ti_summaries/{LARGE}", run_ids=run_ids),
        ]
        return sum(len(answer.content) for answer in answers)

    def grid_of_its_rest(self) -> int:
        """Bytes of the same by its public REST."""
        self.runs()
        path, offset, n_bytes = f"/api/v2/dags/{LARGE}/dagRuns/~/taskInstances", 0, 0
        while True:
            answer = self.get(path, limit=PAGE, offset=offset, order_by="id")
            n_bytes += len(answer.content)
            offset += PAGE
            if offset >= answer.json()["total_entries"]:
                return n_bytes


def wait_for(what: str, look: Callable[[], Any], *, timeout_s: float = 180) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.2)
    return found


@contextlib.contextmanager
def dags(airflow: Airflow, n_runs: int, n_tasks: int) -> Iterator[None]:
    """Both DAGs with the runs of the large one, mirrored; gone again afterwards."""
    from django.conf import settings

    from pipelines.models import Pipeline, Run, TaskInstance
    from stack import config

    site = config.load(Path(settings.CONSOLE_VAR_DIR))
    if site is None:
        sys.exit("This measurement wants a stack that `make up` started.")
    file = site.dags_dir / f"{LARGE}.py"
    file.write_text(DAGS.format(n_tasks=n_tasks))
    try:
        known = Pipeline.objects.filter(pk__in=[LARGE, SMALL]).exclude(details_at=None)
        wait_for("the DAGs", lambda: known.count() == 2)
        for number in range(n_runs):
            run_id = f"bench__{number}"
            at = f"2026-01-01T00:{number % 60:02}:{number // 60:02}Z"
            body = {"dag_run_id": run_id, "logical_date": at}
            path = f"/api/v2/dags/{LARGE}/dagRuns"
            airflow.client.post(path, json=body).raise_for_status()
            airflow.client.patch(f"{path}/{run_id}", json={"state": "success"}).raise_for_status()
        done = TaskInstance.objects.filter(run__dag_id=LARGE).exclude(state="")
        wait_for("the mirror", lambda: done.count() == n_runs * n_tasks)
        yield
    finally:
        file.unlink()
        for name in (LARGE, SMALL):
            airflow.client.delete(f"/api/v2/dags/{name}")
        time.sleep(25)  # the mirror and Airflow's own reader have had their turn
        for name in (LARGE, SMALL):
            airflow.client.delete(f"/api/v2/dags/{name}")
        Run.objects.filter(dag_id__in=[LARGE, SMALL]).delete()
        Pipeline.objects.filter(pk__in=[LARGE, SMALL]).delete()


@contextlib.contextmanager
def visitor() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """The headers of an engineer's browser, and of a program of theirs."""
    from django.conf import settings
    from django.contrib.auth.models import Group
    from django.test import Client

    from core.access import tokens
    from core.access.models import User

    user, _is_new = User.objects.get_or_create(username=NAME)
    user.groups.add(Group.objects.get(name="engineer"))
    user.is_active = True
    user.save(update_fields=["is_active"])
    client = Client()
    client.force_login(user)
    token, key = tokens.create(user, name=NAME, scopes=["see", "pipelines.run"], days=1, by=None)
    try:
        cookie = f"atalaya_session={client.cookies['atalaya_session'].value}"
        origin = {"Origin": settings.CONSOLE_PUBLIC_URL}
        yield {"Cookie": cookie, **origin}, {"Authorization": f"Bearer {key}"}
    finally:
        tokens.revoke(token, by=None)
        client.logout()
        user.groups.clear()
        user.is_active = False
        user.save(update_fields=["is_active"])  # the audit trail names it


def timed(ask: Callable[[], Any]) -> float:
    began_at = time.perf_counter()
    ask()
    return (time.perf_counter() - began_at) * 1000


def compared(airflow: Airflow, console: httpx.Client, rounds: int) -> bool:
    """Medians of each, asked in turn; whether the grids keep their ratio."""

    def ours(path: str, **headers: str) -> Callable[[], Any]:
        return lambda: console.get(path, headers=headers).raise_for_status()

    ways: dict[str, Callable[[], Any]] = {
        "grid: Airflow's page": airflow.grid_of_its_page,
        "grid: Airflow's REST": airflow.grid_of_its_rest,
        "grid: console, whole page": ours(f"/pipelines/{LARGE}"),
        "grid: console, refreshed": ours(f"/pipelines/{LARGE}", **{"HX-Request": "true"}),
        RUNS_THERE: airflow.runs,
        RUNS_HERE: ours(f"/api/v1/pipelines/{LARGE}/runs?limit=50"),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, ask in ways.items():
            if name == "grid: Airflow's REST" and number > 3:
                continue  # a hundred requests each time
            took_ms = timed(ask)
            if number:  # the first warms up
                times[name].append(took_ms)
    medians = {name: statistics.median(some) for name, some in times.items()}
    for name, median_ms in medians.items():
        print(f"{name:<28}{median_ms:>9.1f} ms", flush=True)
    grid = medians["grid: console, whole page"]
    of_page, of_rest = (medians[name] / grid for name in ("grid: Airflow's page", "grid: Airflow's REST"))
    print(f"grid: times as fast as Airflow's page {of_page:.1f}, as its REST {of_rest:.1f}")
    print(f"runs: times as fast {medians[RUNS_THERE] / medians[RUNS_HERE]:.1f}")
    both_there = medians["grid: Airflow's REST"] + medians[RUNS_THERE]
    print(f"both together: times as fast {both_there / (grid + medians[RUNS_HERE]):.1f}", flush=True)
    return of_rest >= LEAST_RATIO


# --- open pages


async def page_open(
    console: httpx.AsyncClient, headers: dict[str, str], until: float, delay_s: float
) -> None:
    """A page of runs as a browser keeps it: its socket, what it fetches when told, and its boxes."""
    await asyncio.sleep(delay_s)
    await asyncio.gather(
        told(console, headers, until),
        box(console, "/health-dot", 30, until),
        box(console, "/monitoring/alerts/-/bell", 60, until),
    )


async def told(console: httpx.AsyncClient, headers: dict[str, str], until: float) -> None:
    url = str(console.base_url)
    address = f"ws{url[4:]}/ws/live"
    async with websockets.connect(address, additional_headers=headers, open_timeout=60) as socket:
        await socket.send(json.dumps({"subscribe": ["runs", "health", "alerts"]}))
        while (left := until - time.monotonic()) > 0:
            try:
                message = json.loads(await asyncio.wait_for(socket.recv(), left))
            except TimeoutError:
                return
            if message["kind"] == "changed":
                path = {"runs": "/runs", "health": "/health-dot"}.get(message["topic"])
                if path:
                    await fetch(console, path)


async def fetch(console: httpx.AsyncClient, path: str) -> None:
    """As htmx does; once more where the server has closed a connection that was idle, as browsers do."""
    for is_last in (False, True):
        try:
            await console.get(path, headers={"HX-Request": "true"})
        except httpx.TransportError:
            if is_last:
                raise
        else:
            return


async def box(console: httpx.AsyncClient, path: str, every_s: float, until: float) -> None:
    while time.monotonic() < until:
        await fetch(console, path)
        await asyncio.sleep(min(every_s, max(until - time.monotonic(), 0)))


async def asked_for(
    n_pages: int, headers: dict[str, str], program: httpx.Client, log: Path, seconds: float
) -> float:
    """Requests a minute that Airflow logs, while a run is asked for every ten seconds."""
    from django.conf import settings

    limits = httpx.Limits(max_connections=50)
    client = httpx.AsyncClient(
        base_url=settings.CONSOLE_PUBLIC_URL, headers=headers, timeout=60, limits=limits, trust_env=False
    )
    async with client as console:
        settled_s = 10.0
        until = time.monotonic() + settled_s + seconds
        delays = [number * settled_s / n_pages for number in range(n_pages)]
        pages = [asyncio.create_task(page_open(console, headers, until, delay)) for delay in delays]
        await asyncio.sleep(settled_s)
        before, began_at = logged(log), time.monotonic()
        while time.monotonic() < until - 1:
            await asyncio.to_thread(trigger, program)
            await asyncio.sleep(min(10.0, max(until - 1 - time.monotonic(), 0)))
        n, took_s = logged(log) - before, time.monotonic() - began_at
        await asyncio.gather(*pages)
    return n / took_s * 60


def logged(log: Path) -> int:
    """Requests in Airflow's own log, without those of its tasks."""
    with log.open("rb") as lines:
        return sum(b"request finished" in line and b"/execution/" not in line for line in lines)


def trigger(program: httpx.Client) -> str:
    """A run of the small DAG; Airflow's name for it."""
    answer = program.post(f"/api/v1/pipelines/{SMALL}/runs", json={}).raise_for_status()
    return str(answer.json()["dag_run_id"])


# --- clicks


def click_to_queued_ms(airflow: Airflow, program: httpx.Client, n: int) -> list[float]:
    """From the click to the answer of Airflow that has the run; its pipeline is paused: it stays queued."""
    waits = []
    for _ in range(n):
        began_at = time.perf_counter()
        path = f"/api/v2/dags/{SMALL}/dagRuns/{trigger(program)}"
        while airflow.client.get(path).status_code != 200:
            time.sleep(0.01)
        waits.append((time.perf_counter() - began_at) * 1000)
        time.sleep(0.3)
    return sorted(waits)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 when both bounds hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--triggers", type=int, default=20)
    options = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()
    from django.conf import settings

    airflow = Airflow()
    log = Path(settings.CONSOLE_VAR_DIR) / "logs" / "airflow-api.log"
    way: dict[str, Any] = {"base_url": settings.CONSOLE_PUBLIC_URL, "timeout": 60, "trust_env": False}
    with visitor() as (headers, keys), dags(airflow, options.runs, options.tasks):
        client, program = httpx.Client(headers=headers, **way), httpx.Client(headers=keys, **way)
        print(f"{options.runs} runs of {options.tasks} tasks; {options.rounds} rounds, medians", flush=True)
        keeps_ratio = compared(airflow, client, options.rounds)
        waits = click_to_queued_ms(airflow, program, options.triggers)
        p95 = waits[int(0.95 * (len(waits) - 1))]
        print(f"click to queued   median {statistics.median(waits):.0f} ms   p95 {p95:.0f} ms", flush=True)
        one, many = (
            asyncio.run(asked_for(n, headers, program, log, options.seconds)) for n in (1, options.pages)
        )
        difference = many / one - 1
        print(f"requests a minute   1 page {one:.0f}   {options.pages} pages {many:.0f}   {difference:+.1%}")
    return int(not (keeps_ratio and abs(difference) <= MOST_DIFFERENCE))


if __name__ == "__main__":
    sys.exit(main())
