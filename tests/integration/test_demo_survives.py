"""The demonstration on real servers, started as `make up` does, while each part is killed once; then removed.

`make soak` does it ten times, each time with other moments.
"""

import os
import random
import time

import pytest

from stack import spark_jobs
from tests.demonstration import DRIVER, VICTIMS, Walks, walk_with_kills
from tests.running_stack import RunningStack

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1200)]

ROUNDS = range(int(os.environ.get("CONSOLE_KILL_ROUNDS", "1")))
SEED = 20260401
STREAM = "(SELECT id FROM streaming_stream WHERE name = 'taxi_trips')"
COUNTED = f"""
    SELECT (SELECT coalesce(sum(count), 0) FROM streaming_window WHERE stream_id = {STREAM})
         + (SELECT count(*) FROM streaming_deadletter WHERE stream_id = {STREAM})"""
CHAMPIONS = "SELECT model_id, version_id FROM models_registry_championperiod WHERE until IS NULL"
# table: the condition that a row of the demonstration fulfils
ROWS = {
    "access_user": "is_demo",
    "access_apitoken": "user_id IN (SELECT id FROM access_user WHERE is_demo)",
    "pipelines_run": "is_demo",
    "models_registry_promotionrequest": "requested_by_id IN (SELECT id FROM access_user WHERE is_demo)",
    "models_registry_championperiod": "by_id IN (SELECT id FROM access_user WHERE is_demo)",
    "predictions_prediction": "is_demo",
    "predictions_driftwindow": "is_demo",
    "predictions_driftwatch": "is_demo",
    "alerts_alert": "is_demo",
    "streaming_replay": "is_demo",
    "jobs_job": "is_demo",
    "demo_step": "true",
}


@pytest.fixture(scope="module")
def counted_before(stack: RunningStack) -> int:
    """Of a stack on which nobody has demonstrated: the journeys of the use cases work as the same users."""
    if Walks(stack).number("SELECT count(*) FROM pipelines_run WHERE is_demo"):
        pytest.skip("journeys of use cases have left runs of the demonstration's users: it comes before them")
    return Walks(stack).number(COUNTED)


@pytest.fixture(scope="module")
def champions_before(stack: RunningStack) -> list[list[str]]:
    return Walks(stack).rows(CHAMPIONS)


@pytest.fixture(scope="module", params=ROUNDS, ids=lambda number: f"round{number}")
def walks(
    stack: RunningStack,
    counted_before: int,
    champions_before: list[list[str]],
    request: pytest.FixtureRequest,
) -> Walks:
    return walk_with_kills(stack, random.Random(SEED + request.param))


def test_it_ended_well_or_said_which_step_to_repeat(walks: Walks):
    assert set(walks.killed) == {*VICTIMS, DRIVER}
    *failed, (state, _words) = walks.ends
    assert state == "done", walks.ends
    for state, words in failed:
        assert (state, "step " in words, "again goes on from there" in words) == ("failed", True, True), words


def test_windows_hold_what_was_produced(walks: Walks, counted_before: int):
    walks.stack.command("psql", "--", "--command", "UPDATE streaming_replay SET is_stop_asked = true")
    is_open = "SELECT count(*) FROM streaming_replay WHERE is_demo AND state NOT IN ('done', 'stopped')"
    wait_until(lambda: walks.number(is_open) == 0)
    sent = walks.number("SELECT sum(n_sent - n_skipped) FROM streaming_replay WHERE is_demo")
    wait_until(lambda: walks.number(COUNTED) - counted_before >= sent)
    time.sleep(2)
    assert walks.number(COUNTED) - counted_before == sent


@pytest.mark.parametrize("step", ["predict", "drift"])
def test_each_answered_prediction_is_recorded_once(walks: Walks, step: str):
    ids = walks.facts(step)["ids"]
    assert len(set(ids)) == len(ids) == 500
    wanted = ", ".join(f"'{id_}'" for id_ in ids)
    rows = f"SELECT count(*) FROM predictions_prediction WHERE is_demo AND is_answered AND id IN ({wanted})"
    assert walks.number(rows) == 500


@pytest.mark.parametrize(
    ("table", "step", "good"), [("pipelines_run", "train", "success"), ("jobs_job", "spark", "succeeded")]
)
def test_nothing_is_doubled_or_left_running(walks: Walks, table: str, step: str, good: str):
    """One for each time that the step was begun anew; one of them came out well, and the others ended."""
    states = [state for (state,) in walks.rows(f"SELECT state FROM {table} WHERE is_demo")]
    assert len(states) <= walks.number(f"SELECT attempt FROM demo_step WHERE name = '{step}'")
    assert states.count(good) == 1
    assert set(states) <= {good, "failed", "lost"}
    assert spark_jobs.processes(walks.stack.config) == []


def test_shifted_predictions_made_one_alert(walks: Walks):
    assert walks.number("SELECT count(*) FROM alerts_alert WHERE is_demo AND rule = 'drift'") == 1


def test_another_walk_changes_nothing(walks: Walks):
    before = {table: counted(walks, table) for table in ROWS if table != "access_apitoken"}
    assert "is there already" in walks.stack.manage("run_demo")
    assert {table: counted(walks, table) for table in before} == before


def test_its_version_is_marked_and_its_tokens_are_over(walks: Walks):
    is_live = "revoked_at IS NULL AND user_id IN (SELECT id FROM access_user WHERE is_demo)"
    assert walks.number(f"SELECT count(*) FROM access_apitoken WHERE {is_live}") == 0
    version = walks.facts("gate")["version"]
    marked = walks.rows(
        "SELECT version FROM models_registry_modelversion WHERE is_demo AND state = 'champion'"
    )
    assert marked == [[version]]


def test_removed_it_leaves_nothing_but_the_audit_trail(
    walks: Walks, counted_before: int, champions_before: list[list[str]]
):
    said = walks.stack.manage("remove_demo")
    assert "3 users" in said
    assert {table: counted(walks, table) for table in ROWS} == dict.fromkeys(ROWS, 0)
    assert walks.number(COUNTED) == counted_before, said
    assert walks.rows("SELECT DISTINCT state FROM models_registry_modelversion WHERE is_demo") == [
        ["archived"]
    ]
    assert walks.rows(CHAMPIONS) == champions_before
    actors = walks.rows("SELECT DISTINCT actor_name FROM audit_auditentry WHERE actor_name LIKE 'demo-%'")
    assert {name for (name,) in actors} >= {"demo-engineer", "demo-scientist", "demo-approver"}


def test_removed_runs_do_not_come_back(walks: Walks):
    """Also when the mirror reads from the start, as it does of an Airflow that it has not seen before."""
    walks.stack.command("psql", "--", "--command", "DELETE FROM pipelines_bookmark")
    wait_until(lambda: walks.number("SELECT count(*) FROM pipelines_bookmark WHERE name = 'runs'") == 1)
    assert counted(walks, "pipelines_run") == 0
    assert "There is no demonstration" in walks.stack.manage("remove_demo")


def counted(walks: Walks, table: str) -> int:
    return walks.number(f"SELECT count(*) FROM {table} WHERE {ROWS[table]}")


def wait_until(condition, *, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.5)
