"""How DAG files call what `recipes/` does: each step of a recipe is a task in the console's environment.

    step("titanic.training:TRAINING.search")(RUN)

calls `TRAINING.search` of `dags/recipes/titanic/training.py` with the run; results of other tasks may follow.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Param, chain, task

log = logging.getLogger(__name__)

# What a step is told of its run, as JSON; see recipes.common.run_folder.DagRun.
RUN = (
    '{"dag_id": {{ dag.dag_id | tojson }}, "run_id": {{ run_id | tojson }}, "params": {{ params | tojson }},'
    ' "requested_by": {{ (dag_run.triggering_user_name or "") | tojson }}}'
)

# Airflow's own alarm waits for the end of the other process, whenever that is (apache/airflow#57712). So a
# step ends itself when its time is over; Airflow's limit comes later, for steps that did not even begin.
GRACE = timedelta(seconds=30)
_LIMIT_S = "{{ task.execution_timeout.total_seconds() if task.execution_timeout else '' }}"

# the console's environment, which has what Airflow's has not: numpy, scikit-learn, MLflow
_IN_CONSOLE = {"python": os.environ["ATALAYA_PYTHON"], "expect_airflow": False, "expect_pendulum": False}


def by_hand(
    dag_id: str,
    doc: str | None,
    *,
    tags: list[str],
    params: dict[str, Param],
    at_once: int = 1,
    retries: int = 1,
    minutes: int = 20,
) -> dict[str, Any]:
    """What `@dag` is told of a pipeline that runs when it is asked for. minutes: that a task may take."""
    return {
        "dag_id": dag_id,
        "doc_md": doc,
        "tags": tags,
        "params": params,
        "max_active_runs": at_once,
        "schedule": None,
        "catchup": False,
        "is_paused_upon_creation": False,  # nothing runs without being asked
        "default_args": {
            "retries": retries,
            "retry_delay": timedelta(seconds=10),
            "retry_exponential_backoff": 2,
            "max_retry_delay": timedelta(minutes=5),
            "execution_timeout": timedelta(minutes=minutes) + GRACE,
        },
    }


JOB_WITHIN = timedelta(days=7)


# --- params that several pipelines have


def whole(default: int, low: int, high: int, title: str, description: str) -> Param:
    return Param(default, type="integer", minimum=low, maximum=high, title=title, description=description)


def choice(default: str, choices: Iterable[str], title: str, description: str) -> Param:
    return Param(default, type="string", enum=list(choices), title=title, description=description)


def address(default: str, description: str, *, longest: int = 500, pattern: str = "^https://") -> Param:
    return Param(
        default,
        type="string",
        pattern=pattern,
        maxLength=longest,
        title="Address",
        description=description,
    )


def seed(
    default: int, description: str = "Of every draw: the same seed and data give the same model."
) -> Param:
    return whole(default, 0, 2**31 - 1, "Seed", description)


def share_held_out(default: float, description: str) -> Param:
    return Param(
        default,
        type="number",
        minimum=0.1,
        maximum=0.4,
        title="Share held out",
        description=f"{description}: never trained on.",
    )


# --- tasks


def step(where: str, *, task_id: str = "", **options: Any) -> Callable[..., Any]:
    """where: <module under recipes>:<name>; the task is called as the last part of it unless told otherwise.

    options: of the task, such as `retries`, `trigger_rule` or `outlets`.
    """
    name = task_id or where.rpartition(":")[2].rpartition(".")[2]

    @task.external_python(task_id=name, **_IN_CONSOLE, **options)
    def call(where, run, results, limit_s, grace_s):
        # It runs in the other environment, and imports all that it needs itself.
        if limit_s:
            import faulthandler

            faulthandler.dump_traceback_later(float(limit_s) - grace_s, exit=True)  # and says where it was

        from pkgutil import resolve_name

        from dags.recipes.common.run_folder import DagRun

        return resolve_name(f"dags.recipes.{where}")(DagRun.from_json(run), *results)

    return lambda run, *results: call(where, run, list(results), _LIMIT_S, GRACE.total_seconds())


def job_ends(task_id: str, dag_id: str, **options: Any) -> Callable[..., Any]:
    """A task that waits for the end of a Spark job of the console, in no place of its own while it waits.

    It ends well when the job did, and fails with the job's words otherwise; its result is the job's id. The
    console ends what runs too long (CONSOLE_JOBS_LONGEST_HOURS), and how long a job waits for its turn
    depends on the others: this waits for as long as a run's files are kept, see `run_folder`.
    """

    # Looking more often than a busy scheduler goes round makes it queue a task whose last look it has not
    # settled yet, and fail it.
    @task.sensor(
        task_id=task_id, mode="reschedule", poke_interval=10, timeout=JOB_WITHIN, retries=4, **options
    )
    def ends(job_id):
        import httpx
        from airflow.sdk import PokeReturnValue
        from airflow.sdk.exceptions import AirflowFailException

        token = json.loads(Path(os.environ["ATALAYA_TOKENS"]).read_text())[dag_id]
        url = f"{os.environ['ATALAYA_URL']}/api/v1/jobs/{job_id}"
        try:
            answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        except httpx.TransportError as error:  # a console that restarts is waited for
            log.warning("The console does not answer: %s", error)
            return PokeReturnValue(is_done=False)
        if answer.status_code == httpx.codes.TOO_MANY_REQUESTS or answer.status_code >= 500:
            log.warning("The console answers %s to the question how the job is", answer.status_code)
            return PokeReturnValue(is_done=False)
        if not answer.is_success:
            why = answer.headers.get("Location") or answer.text[:300]
            raise AirflowFailException(
                f"The console does not show job {job_id} ({answer.status_code}): {why}"
            )
        job = answer.json()
        if job["state"] in ("failed", "cancelled", "lost"):
            raise AirflowFailException(f"Job {job_id} of {job['app']} is {job['state']}: {job['error']}")
        return PokeReturnValue(is_done=job["state"] == "succeeded", xcom_value=job_id)

    return ends


def train(where: str, *, after: Any = None, leaves_out: Sequence[str] = (), **of_load: Any) -> None:
    """The tasks of a `Training` (recipes.common.training), from its rows to the gate's verdict.

    where: as in `step`, of the object. after: a task that comes before. of_load: options of the first one.
    """
    run = {name: step(f"{where}.{name}") for name in _TRAINING if name not in leaves_out}
    run["load"] = step(f"{where}.load", **of_load)
    tasks = {name: call(RUN) for name, call in run.items() if name != "gate"}
    before = [tasks[name] for name in ("load", "validate", "split", "features", "search") if name in tasks]
    chain(
        *([after] if after is not None else []),
        *before,
        [tasks["evaluate"], tasks["explain"]],
        tasks["register"],
    )
    run["gate"](RUN, tasks["register"])


_TRAINING = ("load", "validate", "split", "features", "search", "evaluate", "explain", "register", "gate")
