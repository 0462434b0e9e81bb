"""How DAG files call what `recipes/` does: each step of a recipe is a task in the console's environment.

    step("titanic.training:TRAINING.search")(RUN)

calls `TRAINING.search` of `dags/recipes/titanic/training.py` with the run; results of other tasks may follow.
"""

import os
from collections.abc import Callable
from typing import Any

from airflow.sdk import task

# What a step is told of its run, as JSON; see recipes.common.run_folder.DagRun.
RUN = (
    '{"dag_id": {{ dag.dag_id | tojson }}, "run_id": {{ run_id | tojson }}, "params": {{ params | tojson }},'
    ' "requested_by": {{ (dag_run.triggering_user_name or "") | tojson }}}'
)

# the console's environment, which has what Airflow's has not: numpy, scikit-learn, MLflow
_IN_CONSOLE = {"python": os.environ["ATALAYA_PYTHON"], "expect_airflow": False, "expect_pendulum": False}


def step(where: str, *, task_id: str = "", **options: Any) -> Callable[..., Any]:
    """where: <module under recipes>:<name>; the task is called as the last part of it unless told otherwise.

    options: of the task, such as `retries`, `trigger_rule` or `outlets`.
    """
    name = task_id or where.rpartition(":")[2].rpartition(".")[2]

    @task.external_python(task_id=name, **_IN_CONSOLE, **options)
    def call(where, run, results):  # runs in the other environment: it imports all that it needs itself
        from pkgutil import resolve_name

        from dags.recipes.common.run_folder import DagRun

        return resolve_name(f"dags.recipes.{where}")(DagRun.from_json(run), *results)

    return lambda run, *results: call(where, run, list(results))
