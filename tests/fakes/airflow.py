"""Airflow in memory, behind the methods of `pipelines.gateway.AirflowGateway`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from jsonschema import ValidationError, validate

from core.lib.errors import Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable
from pipelines.answers import Asset, Dag, DagDetails, DagRun, ImportFault, LogPage, TaskNode, TaskState
from pipelines.log_lines import LogLine

ENDED = {"success", "failed"}


class GivenLines(list[LogLine]):
    """What `log_lines.Lines` is to those who read it."""

    trouble = ""


class FakeAirflow:
    """Keeps state; `is_away` makes every call fail as if nothing listened. `as_user` says who calls."""

    def __init__(self) -> None:
        self.is_away = False
        self.calls: list[str] = []
        self.faults: list[ImportFault] = []
        self.found_assets: list[Asset] = []
        self.log_lines: dict[tuple[str, str, int], list[LogLine]] = {}
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.username, self.role = "system:console", "viewer"
        self._dags: dict[str, tuple[Dag, DagDetails, list[TaskNode]]] = {}
        self._runs: dict[tuple[str, str], DagRun] = {}
        self._changed_at: dict[tuple[str, str], datetime] = {}
        self._tasks: dict[tuple[str, str, str, int], TaskState] = {}

    def as_user(self, username: str, role: str) -> "FakeAirflow":
        """What `gateway.connect` does: the calls that follow are this person's."""
        self.username, self.role = username, role
        return self

    # --- what authors and the scheduler do

    def add_dag(
        self, dag_id: str, params: list[dict] | None = None, tasks: tuple[str, ...] = ("load",)
    ) -> None:
        """A DAG of tasks one after the other, paused as new ones are."""
        dag = Dag(dag_id, dag_id, "", [], ["airflow"], "", "", None, True, False, f"{dag_id}.py", 16)
        after = [*tasks[1:], None]
        nodes = [
            TaskNode(name, name, "@task", [then] if then else [], False)
            for name, then in zip(tasks, after, strict=True)
        ]
        self._dags[dag_id] = (dag, DagDetails("", params or [], 1), nodes)

    def remove_dag(self, dag_id: str) -> None:
        """Its file is gone; its runs stay."""
        del self._dags[dag_id]

    def move_on(self, dag_id: str, dag_run_id: str, state: str, **tasks: str) -> None:
        """The scheduler brings the run into `state`, its tasks into theirs."""
        key, now = (dag_id, dag_run_id), self.now
        run = self._runs[key]
        started_at = run.started_at or now
        ended_at = now + timedelta(seconds=5) if state in ENDED else None
        self._put(replace(run, state=state, started_at=started_at, ended_at=ended_at))
        for task_id, task_state in tasks.items():
            self._tasks[dag_id, dag_run_id, task_id, -1] = TaskState(
                dag_id, dag_run_id, task_id, -1, 1, 0, task_state, "@task", now, None, None
            )

    def delete_run(self, dag_id: str, dag_run_id: str) -> None:
        """Somebody deletes it in Airflow's own pages."""
        del self._runs[dag_id, dag_run_id]

    # --- the gateway's methods

    def dags(self) -> list[Dag]:
        self._call("dags")
        return [dag for dag, _details, _tasks in self._dags.values()]

    def dag_details(self, dag_id: str) -> DagDetails:
        self._call("dag_details")
        return self._dag(dag_id)[1]

    def dag_tasks(self, dag_id: str) -> list[TaskNode]:
        self._call("dag_tasks")
        return self._dag(dag_id)[2]

    def dag_source(self, dag_id: str, version: int) -> str:
        self._call("dag_source")
        self._dag(dag_id)
        return f"# {dag_id}, version {version}"

    def assets(self) -> list[Asset]:
        self._call("assets")
        return list(self.found_assets)

    def set_paused(self, dag_id: str, *, is_paused: bool) -> None:
        self._call("set_paused", writes=True)
        dag, details, tasks = self._dag(dag_id)
        self._dags[dag_id] = (replace(dag, is_paused=is_paused), details, tasks)

    def import_faults(self) -> list[ImportFault]:
        self._call("import_faults")
        return list(self.faults)

    def trigger_run(
        self,
        dag_id: str,
        *,
        dag_run_id: str,
        conf: dict,
        note: str = "",
        logical_date: datetime | None = None,
        run_after: datetime | None = None,
    ) -> DagRun:
        self._call("trigger_run", writes=True)
        for param in self._dag(dag_id)[1].param_list:
            try:
                validate(conf.get(param["name"], param["value"]), param["schema"])
            except ValidationError as error:
                words = f"Invalid input for param {param['name']}: {error.message}"
                field = {"field": f"conf.{param['name']}", "message": error.message}
                raise InvalidRequest(words, service="airflow", errors=[field]) from error
        dates = {run.logical_date for run in self._runs.values() if run.dag_id == dag_id}
        if (dag_id, dag_run_id) in self._runs or (logical_date and logical_date in dates):
            raise Conflict("Unique constraint violation", service="airflow")
        run = DagRun(
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            state="queued",
            conf=dict(conf),
            note=note,
            run_type="manual",
            triggered_by=self.username,
            logical_date=logical_date,
            queued_at=self.now,
            started_at=None,
            ended_at=None,
        )
        self._put(run)
        return run

    def run(self, dag_id: str, dag_run_id: str) -> DagRun:
        self._call("run")
        if (dag_id, dag_run_id) not in self._runs:
            raise NotFound(f"The DagRun with dag_id: `{dag_id}` was not found", service="airflow")
        return self._runs[dag_id, dag_run_id]

    def runs_changed_since(self, since: datetime | None, *, limit: int) -> tuple[list[DagRun], datetime]:
        self._call("runs_changed_since")
        found = [run for key, run in self._runs.items() if since is None or self._changed_at[key] >= since]
        return (found[-limit:] if since is None else found), self.now

    def runs_under_way(self) -> set[tuple[str, str]]:
        self._call("runs_under_way")
        return {key for key, run in self._runs.items() if run.state not in ENDED}

    def fail_run(self, dag_id: str, dag_run_id: str) -> DagRun:
        self._call("fail_run", writes=True)
        self._put(replace(self.run(dag_id, dag_run_id), state="failed", ended_at=self.now))
        return self._runs[dag_id, dag_run_id]

    def clear_run(self, dag_id: str, dag_run_id: str, *, only_failed: bool) -> None:
        self._call("clear_run", writes=True)
        run = self.run(dag_id, dag_run_id)
        self._put(replace(run, state="queued", started_at=None, ended_at=None))

    def task_states(self, runs: list[tuple[str, str]]) -> list[TaskState]:
        self._call("task_states")
        return [task for task in self._tasks.values() if (task.dag_id, task.dag_run_id) in runs]

    def log_page(
        self, dag_id: str, dag_run_id: str, task_id: str, *, try_number: int, map_index: int, token: str
    ) -> LogPage:
        self._call("log_page")
        lines = self._log(dag_id, dag_run_id, task_id, map_index, try_number)
        start = int(token) if token else 0
        is_over = self._tasks[dag_id, dag_run_id, task_id, map_index].state in ENDED
        return LogPage(lines[start:], "" if is_over else str(len(lines)))

    @contextmanager
    def whole_log(
        self, dag_id: str, dag_run_id: str, task_id: str, *, try_number: int, map_index: int
    ) -> Iterator["GivenLines"]:
        self._call("whole_log")
        yield GivenLines(self._log(dag_id, dag_run_id, task_id, map_index, try_number))

    # --- how

    def _call(self, name: str, *, writes: bool = False) -> None:
        self.calls.append(name)
        if self.is_away:
            raise Unavailable("Airflow is not answering.", service="airflow")
        if writes and self.role == "viewer":
            raise Unauthorized("Airflow refused the console's own credentials: Forbidden", service="airflow")

    def _dag(self, dag_id: str) -> tuple[Dag, DagDetails, list[TaskNode]]:
        if dag_id not in self._dags:
            raise NotFound(f"Dag with dag_id: '{dag_id}' not found", service="airflow")
        return self._dags[dag_id]

    def _put(self, run: DagRun) -> None:
        self._runs[run.dag_id, run.dag_run_id] = run
        self._changed_at[run.dag_id, run.dag_run_id] = self.now

    def _log(
        self, dag_id: str, dag_run_id: str, task_id: str, map_index: int, try_number: int
    ) -> list[LogLine]:
        task = self._tasks.get((dag_id, dag_run_id, task_id, map_index))
        if task is None or try_number > task.try_number:
            raise NotFound("TaskInstance not found", service="airflow")
        return self.log_lines.get((dag_run_id, task_id, try_number), [])
