"""Ten runs are asked for while the servers that bring them to Airflow die: ten in the end, none twice.

`make soak` does it ten times, each time in another order; the other commands leave it out, it takes a minute.
"""

import os
import random
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.conf import settings

from pipelines import airflow_auth
from tests.api import Caller, ok, wait_for
from tests.running_stack import RunningStack

ROUNDS = range(int(os.environ.get("CONSOLE_KILL_ROUNDS", "0")))
SEED = 20260701
DAG = "forest_cover_clear"  # which only tells what it would remove, were it let go
VICTIMS = ("airflow-api", "airflow-scheduler", "worker", "web")
N = 10


@pytest.fixture
def engineer(on_the_stack: RunningStack) -> Iterator[Caller]:
    """Who pauses the pipeline, so that its runs stay queued, and cancels them at the end."""
    caller = Caller(on_the_stack, f"kill-{uuid.uuid4().hex[:8]}", "engineer")
    wait_for(DAG, lambda: caller.get(f"/pipelines/{DAG}").status_code == 200, timeout_s=90)
    switch(caller, is_paused=True)
    yield caller
    for run in runs_here(caller):
        if run["state"] in {"requested", "queued", "running"}:
            ok(caller.post(f"/runs/{run['id']}/cancel"))
    switch(caller, is_paused=False)


@pytest.mark.parametrize("number", ROUNDS, ids=lambda number: f"round{number}")
def test_ten_triggers_make_ten_runs(stack: RunningStack, engineer: Caller, number: int):
    dice = random.Random(SEED + number)
    keys = [uuid.uuid4().hex for _ in range(N)]
    killer = threading.Thread(target=kill_in_turn, args=(stack, dice))
    killer.start()
    with ThreadPoolExecutor(max_workers=2) as people:
        answers = list(people.map(lambda key: trigger(engineer, key, dice.random() * 2), keys))
    killer.join()
    stack.wait_until_healthy()
    ids = {answer["dag_run_id"] for answer in answers}
    assert len(ids) == N
    wait_for(
        "all delivered", lambda: all(state != "requested" for state in states(engineer, ids)), timeout_s=60
    )
    assert sorted(in_airflow(engineer)) == sorted(ids)
    assert sorted(run["dag_run_id"] for run in runs_here(engineer)) == sorted(ids)


def kill_in_turn(stack: RunningStack, dice: random.Random) -> None:
    for name in dice.sample(VICTIMS, len(VICTIMS)):
        time.sleep(0.2 + dice.random())
        stack.kill(name)


def trigger(engineer: Caller, key: str, pause_s: float) -> dict[str, str]:
    """As a client that is told by nobody whether its call was heard: the same call until it is answered."""
    time.sleep(pause_s)

    def answered() -> httpx.Response | None:
        try:
            body = {"conf": {"reason": f"kill test {key}"}, "note": engineer.name}
            answer = engineer.post(f"/pipelines/{DAG}/runs", body, key=key)
        except httpx.TransportError:
            return None
        return None if answer.status_code in {409, 502, 503} else answer

    found: dict[str, str] = ok(wait_for("an answer", answered, timeout_s=120), 202)
    return found


def switch(engineer: Caller, *, is_paused: bool) -> None:
    ok(engineer.patch(f"/pipelines/{DAG}", {"is_paused": is_paused}))
    wait_for("the switch", lambda: airflow("")["is_paused"] == is_paused, timeout_s=60)


def runs_here(engineer: Caller) -> list[dict[str, str]]:
    """Of this test, by its note."""
    found = ok(engineer.get(f"/pipelines/{DAG}/runs?limit=100"))["results"]
    return [run for run in found if run["note"] == engineer.name]


def states(engineer: Caller, ids: set[str]) -> list[str]:
    return [run["state"] for run in runs_here(engineer) if run["dag_run_id"] in ids]


def in_airflow(engineer: Caller) -> list[str]:
    """The same, as Airflow itself tells it."""
    found = airflow("/dagRuns?limit=100&order_by=-id")["dag_runs"]
    return [run["dag_run_id"] for run in found if run["note"] == engineer.name]


def airflow(path: str) -> dict[str, Any]:
    url = f"{settings.CONSOLE_AIRFLOW_URL}/api/v2/dags/{DAG}{path}"
    headers = {"Authorization": f"Bearer {airflow_auth.signed('system:console', airflow_auth.VIEWER)}"}
    found: dict[str, Any] = ok(httpx.get(url, headers=headers, timeout=30, trust_env=False))
    return found
