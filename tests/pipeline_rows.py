"""Rows of pipelines and runs for tests: plain functions with defaults."""

from datetime import UTC, datetime
from typing import Any

from pipelines.backfill_models import Backfill, BackfillState, BackfillWish
from pipelines.models import InputRequest, Pipeline, Run, RunState, TaskInstance, Wish

STARTED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PARAMS = [
    {
        "name": "n_iter",
        "value": 10,
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "title": "Candidates"},
        "description": "Candidates that the search draws",
    },
    {"name": "scoring", "value": "f1", "schema": {"enum": ["f1", "accuracy"]}, "description": ""},
    {"name": "share", "value": 0.2, "schema": {"type": "number", "exclusiveMinimum": 0}, "description": ""},
    {"name": "is_quick", "value": False, "schema": {"type": "boolean"}, "description": ""},
    {"name": "source", "value": None, "schema": {"type": ["null", "string"]}, "description": ""},
    {"name": "grid", "value": {"depth": [10]}, "schema": {"type": "object"}, "description": ""},
]
TASKS = [
    {"id": "load", "label": "load", "operator": "@task", "downstream": ["search"], "is_mapped": False},
    {"id": "search", "label": "search", "operator": "@task", "downstream": [], "is_mapped": False},
]


def make_pipeline(dag_id: str = "titanic_training", **values: Any) -> Pipeline:
    defaults = {"display_name": dag_id, "param_list": PARAMS, "tasks": TASKS, "next_attempt_at": None}
    return Pipeline.objects.create(dag_id=dag_id, **{**defaults, **values})


def make_run(dag_id: str = "titanic_training", state: str = RunState.SUCCESS, **values: Any) -> Run:
    """A run that Airflow has, with nothing left to deliver unless told."""
    defaults = {
        "dag_run_id": f"console__{Run.objects.count()}",
        "wish": Wish.NOTHING,
        "next_attempt_at": None,
        "triggered_by": "ana",
        "started_at": STARTED,
    }
    return Run.objects.create(dag_id=dag_id, state=state, **{**defaults, **values})


def make_task(run: Run, task_id: str = "search", state: str = "success", **values: Any) -> TaskInstance:
    defaults = {"try_number": 1, "started_at": STARTED}
    return TaskInstance.objects.create(run=run, task_id=task_id, state=state, **{**defaults, **values})


def make_question(run: Run, task_id: str = "search", **values: Any) -> InputRequest:
    """What a task asks people, and waits for."""
    defaults = {
        "subject": "Go on?",
        "options": ["Approve", "Reject"],
        "param_list": PARAMS,
        "asked_at": STARTED,
        "next_attempt_at": None,
    }
    return InputRequest.objects.create(run=run, task_id=task_id, **{**defaults, **values})


def make_backfill(
    dag_id: str = "titanic_training", state: str = BackfillState.RUNNING, **values: Any
) -> Backfill:
    """One of the first three days of March that Airflow has, with nothing left to deliver unless told."""
    defaults = {
        "from_date": datetime(2026, 3, 1, tzinfo=UTC),
        "to_date": datetime(2026, 3, 3, tzinfo=UTC),
        "airflow_id": Backfill.objects.count() + 1,
        "wish": BackfillWish.NOTHING,
        "next_attempt_at": None,
        "started_at": STARTED,
    }
    return Backfill.objects.create(dag_id=dag_id, state=state, **{**defaults, **values})
