"""Airflow in memory, behind the methods of `pipelines.gateway.AirflowGateway`."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jsonschema import ValidationError, validate

from core.lib.errors import Conflict, InvalidRequest, NotFound, Unauthorized, Unavailable
from pipelines.asset_answers import Asset, AssetEvent, QueuedAsset, WaitingPartition
from pipelines.backfill_answers import Backfill
from pipelines.dag_answers import Dag, DagDetails, ImportFault, TaskNode
from pipelines.labels import may_be_groups
from pipelines.log_lines import LogLine
from pipelines.run_answers import DagRun
from pipelines.scope import Scope
from pipelines.task_answers import (
    GivenAnswer,
    InputRequest,
    LogPage,
    TaskAbout,
    TaskState,
    TaskTry,
    XCom,
    XComPage,
)
from tests.fakes.airflow_backfills import Backfills

ENDED = {"success", "failed"}
MARKS = {"success", "failed", "skipped"}
AWAITS = {"awaiting_input", "deferred"}
FAILED = {"failed", "upstream_failed"}
DONE = {"success", "failed", "skipped", "upstream_failed", "removed"}
AT_WORK = {"running", "deferred", "up_for_reschedule", "awaiting_input"}


MOST_ENTRIES = 30  # as the gateway asks for


class GivenLines(list[LogLine]):
    """What `log_lines.Lines` is to those who read it."""

    trouble = ""


class FakeAirflow(Backfills):
    """Keeps state; `is_away` makes every call fail as if nothing listened. `as_user` says who calls."""

    def __init__(self) -> None:
        self.is_away = False
        self.knows_no_token = False  # signed with another secret than its own, or by another clock
        self.tells_tasks_at_once = False  # as Airflow does; most tests bring tasks up by `move_on`
        self.no_groups: set[str] = set()  # what is before a dot in the name of a task, and no group
        self.groups: dict[str, list[str]] = {}  # of tasks that are not called after those that they are in
        self.older: dict[tuple[str, int | None], list[TaskNode]] = {}  # the tasks of versions before
        self.hides_structure = False  # what its own pages draw
        self.teardowns: set[str] = set()  # names of tasks that no end of a run stops
        self.calls: list[str] = []
        self.faults: list[ImportFault] = []
        self.questions: list[InputRequest] = []
        self.answers: dict[tuple[str, str], tuple[str, list, dict]] = {}
        self.user_ids: dict[str, str] = {}  # by name, where they are not the same
        self.run_on_latest_version: dict[
            str, bool | None
        ] = {}  # what the last clear of a run said of the code
        self.rendered: dict[str, dict | None] = {}
        self.about: dict[str, TaskAbout] = {}
        self.left: dict[str, dict[str, str | None]] = {}
        self.found_assets: list[Asset] = []
        self.found_events: list[AssetEvent] = []
        self.queues: dict[str, list[QueuedAsset]] = {}  # of DAGs that wait for assets
        self.partitions: list[WaitingPartition] = []
        self.log_lines: dict[tuple[str, str, int], list[LogLine]] = {}
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.username, self.role = "system:console", "viewer"
        self._dags: dict[str, tuple[Dag, DagDetails, list[TaskNode]]] = {}
        self._versions: list[tuple[str, int]] = []  # the latest last
        self._ran: set[tuple[str, int | None]] = set()  # versions of which there are tasks
        self._changes: dict[str, int] = {}
        self._runs: dict[tuple[str, str], DagRun] = {}
        self._changed_at: dict[tuple[str, str], datetime] = {}
        self._tasks: dict[tuple[str, str, str, int], TaskState] = {}
        self._tasks_changed_at: dict[tuple[str, str, str, int], datetime] = {}
        self._notes: dict[str, str] = {}
        self._backfills: dict[int, Backfill] = {}
        self._runs_of_backfill: dict[int, list[tuple[str, str]]] = {}

    def as_user(self, username: str, role: str) -> "FakeAirflow":
        """What `gateway.connect` does: the calls that follow are this person's."""
        self.username, self.role = username, role
        return self

    # --- what authors and the scheduler do

    def add_dag(
        self,
        dag_id: str,
        params: list[dict] | None = None,
        tasks: tuple[str, ...] = ("load",),
        *,
        is_daily: bool = False,
        **values: Any,
    ) -> None:
        """A DAG of tasks one after the other, paused as new ones are; is_daily: it runs at midnight.

        values: other fields of `Dag`.
        """
        schedule = "0 0 * * *" if is_daily else ""
        dag = Dag(
            dag_id, dag_id, "", [], ["airflow"], schedule, "", None, True, False, f"{dag_id}.py", 16, is_daily
        )
        dag = replace(dag, **values)
        after = [*tasks[1:], None]
        nodes = [
            TaskNode(name, name, "@task", [then] if then else [], False)
            for name, then in zip(tasks, after, strict=True)
        ]
        self._dags[dag_id] = (dag, DagDetails("", params or [], 1), nodes)
        self._versions.append((dag_id, 1))

    def change_dag(self, dag_id: str, params: list[dict]) -> None:
        """Its file is changed and parsed: a new version, or the newest one rewritten while nothing ran it."""
        dag, details, nodes = self._dags[dag_id]
        if (dag_id, details.version) in self._ran:
            details = replace(details, version=(details.version or 0) + 1)
            self._versions.append((dag_id, details.version or 0))
        self._dags[dag_id] = (dag, replace(details, param_list=params), nodes)
        self._changes[dag_id] = self._changes.get(dag_id, 0) + 1

    def remove_dag(self, dag_id: str) -> None:
        """Its file is gone; its runs stay."""
        del self._dags[dag_id]

    def move_on(
        self, dag_id: str, dag_run_id: str, state: str, *, tries: dict[str, int] | None = None, **tasks: str
    ) -> None:
        """The scheduler brings the run into `state`, its tasks into theirs; tries: other than the first."""
        key, now = (dag_id, dag_run_id), self.now
        run = self._runs[key]
        started_at = run.started_at or now
        ended_at = now + timedelta(seconds=5) if state in ENDED else None
        self._put(replace(run, state=state, started_at=started_at, ended_at=ended_at))
        for task_id, task_state in tasks.items():
            n_tries = (tries or {}).get(task_id, 1)
            self._set(
                TaskState(dag_id, dag_run_id, task_id, -1, n_tries, 0, task_state, "@task", now, None, None)
            )

    def end(self, dag_id: str, dag_run_id: str, at: datetime) -> None:
        """When a run that is over ended: other than a moment ago."""
        self._put(replace(self._runs[dag_id, dag_run_id], ended_at=at))

    def move_task(self, dag_id: str, dag_run_id: str, task_id: str, state: str) -> None:
        """A task is written alone: marked in Airflow's own pages, say. Its run stays as it is."""
        self._set(replace(self._tasks[dag_id, dag_run_id, task_id, -1], state=state))

    def delete_run(self, dag_id: str, dag_run_id: str) -> None:
        """Somebody deletes it in Airflow's own pages."""
        del self._runs[dag_id, dag_run_id]
        self._tasks = {key: task for key, task in self._tasks.items() if key[:2] != (dag_id, dag_run_id)}

    # --- the gateway's methods

    def dags(self) -> list[Dag]:
        self._call("dags")
        return [dag for dag, _details, _tasks in self._dags.values()]

    def hurried(self) -> "FakeAirflow":
        return self

    def newest_versions(self) -> dict[str, int]:
        self._call("newest_versions")
        return dict(self._versions[-100:])

    def dag_details(self, dag_id: str) -> DagDetails:
        self._call("dag_details")
        return self._dag(dag_id)[1]

    def dag_tasks(self, dag_id: str) -> list[TaskNode]:
        self._call("dag_tasks")
        return self._dag(dag_id)[2]

    def drawn_tasks(self, dag_id: str, version: int | None = None) -> list[TaskNode]:
        self._call("drawn_tasks")
        if self.hides_structure:
            raise Unauthorized("Forbidden", service="airflow")
        _dag, details, newest = self._dag(dag_id)
        nodes = newest if version in {None, details.version} else self.older.get((dag_id, version))
        if nodes is None:
            raise NotFound(f"Dag with id {dag_id} and version number {version} was not found")
        return [
            replace(
                node,
                groups=self._groups_of(node.id),
                role=node.role or "",
                edge_labels=node.edge_labels or {},
            )
            for node in nodes
        ]

    def _groups_of(self, name: str) -> list[str]:
        return self.groups.get(name, [one for one in may_be_groups(name) if one not in self.no_groups])

    def dag_groups(self, dag_id: str, names: Collection[str]) -> set[str]:
        if names:
            self._call("dag_groups")
        inside = [node.id for node in self._dag(dag_id)[2]]
        return {
            name
            for name in set(names) - self.no_groups
            if any(task_id.startswith(f"{name}.") for task_id in inside)
        }

    def dag_source(self, dag_id: str, version: int) -> str:
        self._call("dag_source")
        self._dag(dag_id)
        change = self._changes.get(dag_id)
        return f"# {dag_id}, version {version}" + (f", change {change}" if change else "")

    def assets(self) -> list[Asset]:
        self._call("assets")
        return list(self.found_assets)

    def asset_events(self, since: datetime | None, *, limit: int) -> list[AssetEvent]:
        self._call("asset_events")
        found = [one for one in self.found_events if since is None or one.at >= since]
        return found[-limit:] if since is None else found[:limit]

    def events_taken(self, dag_id: str, dag_run_id: str) -> list[AssetEvent]:
        self._call("events_taken")
        run = {"dag_id": dag_id, "dag_run_id": dag_run_id}
        found = [one for one in self.found_events if any(run.items() <= begun.items() for begun in one.began)]
        if not found and (dag_id, dag_run_id) not in self._runs:
            words = f"The DagRun with dag_id: `{dag_id}` and run_id: `{dag_run_id}` was not found"
            raise NotFound(words, service="airflow")
        return found

    def queued_assets(self, dag_id: str) -> list[QueuedAsset]:
        self._call("queued_assets")
        return list(self.queues.get(dag_id, []))

    def waiting_partitions(self) -> list[WaitingPartition]:
        self._call("waiting_partitions")
        return list(self.partitions)

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
        data_interval: tuple[datetime, datetime] | None = None,
        partition_key: str = "",
    ) -> DagRun:
        self._call("trigger_run", writes=True)
        dag = self._dag(dag_id)[0]
        if dag.allowed_run_types is not None and "manual" not in dag.allowed_run_types:
            words = f"Dag with dag_id: '{dag_id}' does not allow manual runs"
            raise InvalidRequest(words, service="airflow")
        if partition_key and not dag.is_partitioned:
            words = f"Dag '{dag_id}' is not a partitioned Dag and does not accept a partition_key."
            field = {"field": "partition_key", "message": words}
            raise InvalidRequest(words, service="airflow", errors=[field])
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
            data_interval_start=data_interval[0] if data_interval else logical_date,
            data_interval_end=data_interval[1] if data_interval else logical_date,
            partition_key=partition_key,
            run_after=run_after or self.now,
        )
        self._put(run)
        self._ran.add((dag_id, self._dag(dag_id)[1].version))
        for node in self._dag(dag_id)[2] if self.tells_tasks_at_once else ():
            self._set(TaskState(dag_id, dag_run_id, node.id, -1, 0, 0, "", node.operator, None, None, None))
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

    def runs_there(self, runs: list[tuple[str, str]]) -> set[tuple[str, str]]:
        self._call("runs_there")
        return {key for key in runs if key in self._runs}

    def fail_run(self, dag_id: str, dag_run_id: str) -> DagRun:
        return self.set_run_state(dag_id, dag_run_id, "failed")

    def set_run_state(self, dag_id: str, dag_run_id: str, state: str) -> DagRun:
        self._call("set_run_state", writes=True)
        run, has_teardowns = self.run(dag_id, dag_run_id), False
        for task in self.task_states([(dag_id, dag_run_id)]):
            if task.state in DONE:
                continue
            if task.task_id in self.teardowns:
                has_teardowns = True
            else:
                self._set(replace(task, state=state if task.state in AT_WORK else "skipped"))
        if not has_teardowns:  # else the scheduler ends the run after them, as its tasks ended
            self._put(replace(run, state=state, ended_at=self.now))
        return self._runs[dag_id, dag_run_id]

    def set_note(self, dag_id: str, dag_run_id: str, note: str) -> None:
        self._call("set_note", writes=True)
        self._put(replace(self.run(dag_id, dag_run_id), note=note))

    def clear_tasks(self, dag_id: str, dag_run_id: str, scope: Scope, *, dry_run: bool) -> list[TaskState]:
        self._call("clear_tasks" if not dry_run else "clear_tasks (dry)", writes=True)
        there = self.run(dag_id, dag_run_id)
        found = [
            task
            for run_id in self._runs_beside(there, scope)
            for task in self._in_scope(dag_id, run_id, scope)
        ]
        if scope.only_failed:
            found = [task for task in found if task.state in FAILED]
        if dry_run or not found:
            return found
        if scope.prevent_running and any(task.state == "running" for task in found):
            raise Conflict("Disable 'prevent_running_task' to proceed", service="airflow")
        self.run_on_latest_version[dag_run_id] = scope.run_on_latest_version
        for task in found:
            self._set(replace(task, state="restarting" if task.state == "running" else ""))
            self._notes[task.key] = scope.note
        for key in {(task.dag_id, task.dag_run_id) for task in found}:
            self._queue_anew(self._runs[key])
        return found

    def _runs_beside(self, there: DagRun, scope: Scope) -> list[str]:
        """Ids of the run, and of those of earlier or later dates that are meant too."""
        if not (scope.past or scope.future):
            return [there.dag_run_id]
        if there.logical_date is None:
            words = "Cannot use include_past or include_future with no logical_date"
            raise InvalidRequest(words, service="airflow")
        at = there.logical_date
        runs = [run for run in self._runs.values() if run.dag_id == there.dag_id and run.logical_date]
        return [
            run.dag_run_id
            for run in runs
            if run == there
            or (run.logical_date and run.logical_date < at and scope.past)
            or (run.logical_date and run.logical_date > at and scope.future)
        ]

    def _queue_anew(self, run: DagRun) -> None:
        """As each clear does, also of a run that goes on."""
        anew = {"state": "queued", "started_at": None, "ended_at": None} if run.state in ENDED else {}
        self._put(replace(run, queued_at=self.now + timedelta(seconds=1), **anew))

    def note_of(self, dag_id: str, dag_run_id: str, task_id: str) -> str:
        """What is written on a task."""
        return self._notes.get(f"{dag_id} {dag_run_id} {task_id} -1", "")

    def new_tasks(self, dag_id: str, dag_run_id: str) -> list[str]:
        self._call("new_tasks")
        self.run(dag_id, dag_run_id)
        there = {key[2] for key in self._tasks if key[:2] == (dag_id, dag_run_id)}
        return [node.id for node in self._dag(dag_id)[2] if node.id not in there]

    def mark_tasks(
        self, dag_id: str, dag_run_id: str, scope: Scope, state: str, *, dry_run: bool
    ) -> list[TaskState]:
        assert scope.group or not scope.tasks, "Airflow marks several tasks one by one"
        self._call("mark_tasks" if not dry_run else "mark_tasks (dry)", writes=True)
        there = self.run(dag_id, dag_run_id)
        runs = self._runs_beside(there, scope)
        found = [task for one in runs for task in self._in_scope(dag_id, one, scope) if task.state != state]
        if not dry_run:
            if not found:
                words = f"Task id {scope.task} is already in {state} state"
                raise Conflict(words, service="airflow")
            for task in found:
                self._set(replace(task, state=state))
                self._notes[task.key] = scope.note
        return found

    def _in_scope(self, dag_id: str, dag_run_id: str, scope: Scope) -> list[TaskState]:
        """Tasks of the fake stand one after the other."""
        self.run(dag_id, dag_run_id)
        order = [node.id for node in self._dag(dag_id)[2]]
        tasks = [
            task for key, task in self._tasks.items() if key[:2] == (dag_id, dag_run_id) and key[2] in order
        ]
        if scope.is_whole_run:
            return tasks
        named = scope.named
        named_so = any(name.startswith(f"{scope.group}.") for name in order)
        if scope.group and not named_so and not any(scope.group in path for path in self.groups.values()):
            words = f"Task group '{scope.group}' not found in DAG '{dag_id}'"
            raise NotFound(words, service="airflow")
        for task_id, _index in named:
            if task_id not in order:
                raise NotFound(f"Task '{task_id}' not found in Dag '{dag_id}'", service="airflow")
        beside: set[str] = set()
        for task_id, _index in named:
            here = order.index(task_id)
            beside |= set(order[:here]) if scope.upstream else set()
            beside |= set(order[here + 1 :]) if scope.downstream else set()
        return [task for task in tasks if task.task_id in beside or scope.holds(task.task_id, task.map_index)]

    def _set(self, task: TaskState) -> None:
        key = (task.dag_id, task.dag_run_id, task.task_id, task.map_index)
        self._tasks[key], self._tasks_changed_at[key] = task, self.now

    def clear_run(self, dag_id: str, dag_run_id: str, scope: Scope) -> DagRun:
        self._call("clear_run", writes=True)
        self.run_on_latest_version[dag_run_id] = scope.run_on_latest_version
        run = self.run(dag_id, dag_run_id)
        found = self._in_scope(dag_id, dag_run_id, scope)
        failed = [task for task in found if task.state in FAILED]
        new = self.new_tasks(dag_id, dag_run_id) if scope.only_new else []
        # Airflow's runs have tasks from the start, some of ours have none.
        if new or failed or not (scope.only_failed or scope.only_new):
            for task in [] if scope.only_new or scope.only_failed else found:
                self._set(replace(task, state="restarting" if task.state == "running" else ""))
            self._queue_anew(replace(run, note=scope.note or run.note))
        return self._runs[dag_id, dag_run_id]

    def task_states(self, runs: list[tuple[str, str]]) -> list[TaskState]:
        self._call("task_states")
        return [task for task in self._tasks.values() if (task.dag_id, task.dag_run_id) in runs]

    def runs_of_changed_tasks(self, since: datetime) -> tuple[set[tuple[str, str]], datetime, bool]:
        self._call("runs_of_changed_tasks")
        changed = {key for key, at in self._tasks_changed_at.items() if at >= since}
        runs = {key[:2] for key, task in self._tasks.items() if key in changed and task.state in MARKS}
        return runs, self.now, True

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

    def ask(self, dag_id: str, dag_run_id: str, task_id: str, **values: Any) -> InputRequest:
        """A task asks people, and waits. Asked again it keeps its time, and the answer that it had goes."""
        place = (dag_id, dag_run_id, task_id, values.get("map_index", -1))
        before = [one for one in self.questions if self._asker(one) == place]
        defaults = {
            "map_index": -1,
            "subject": "Go on?",
            "body": "",
            "options": ["Approve", "Reject"],
            "defaults": [],
            "is_multiple": False,
            "param_list": [],
            "assigned": [],
            "asked_at": before[0].asked_at if before else self.now,
            "try_number": self._tasks[place].try_number if place in self._tasks else 1,
        }
        request = InputRequest(dag_id, dag_run_id, task_id, **{**defaults, **values})
        self.questions = [*(one for one in self.questions if one not in before), request]
        self.answers.pop((dag_run_id, task_id), None)
        return request

    def _asker(self, one: InputRequest) -> tuple[str, str, str, int]:
        return one.dag_id, one.dag_run_id, one.task_id, one.map_index

    def input_requests(self) -> list[InputRequest]:
        self._call("input_requests")
        unanswered = [one for one in self.questions if (one.dag_run_id, one.task_id) not in self.answers]
        tasks = [(one, self._tasks.get(self._asker(one))) for one in unanswered]
        return [one for one, task in tasks if task is None or task.state in AWAITS]

    def answer_input(
        self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int, chosen: list, params_input: dict
    ) -> None:
        self._call("answer_input", writes=True)
        if not any((one.dag_run_id, one.task_id) == (dag_run_id, task_id) for one in self.questions):
            words = "Human-in-the-loop detail does not exist for Task Instance with id 019"
            raise NotFound(words, service="airflow")
        if (dag_run_id, task_id) in self.answers:
            words = "Human-in-the-loop detail has already been updated for Task Instance with id 019"
            raise Conflict(f"{words} and is not allowed to write again.", service="airflow")
        if any(one.assigned and self.username not in one.assigned for one in self.questions):
            words = f"User={self.username} (id={self.username}) is not a respondent for the task."
            raise InvalidRequest(words, service="airflow")
        self.answers[dag_run_id, task_id] = (self.username, chosen, params_input)

    def given_answer(
        self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int, try_number: int
    ) -> GivenAnswer | None:
        self._call("given_answer")
        place = (dag_id, dag_run_id, task_id, map_index)
        if not any(self._asker(one) == place and one.try_number == try_number for one in self.questions):
            raise NotFound("The Task Instance was not found", service="airflow")
        found = self.answers.get((dag_run_id, task_id))
        return found and GivenAnswer(
            found[1], found[2], self.user_ids.get(found[0], found[0]), found[0], self.now
        )

    def task_tries(self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int) -> list[TaskTry]:
        self._call("task_tries")
        task = self._task(dag_id, dag_run_id, task_id, map_index)
        tries = [
            TaskTry(number, "failed", self.now, self.now, self.now, 1.5, "host", "default_pool")
            for number in range(1, task.try_number)
        ]
        last = TaskTry(task.try_number, task.state, self.now, self.now, None, 2.5, "host", "default_pool")
        return [*tries, last]

    def rendered_fields(self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int) -> dict | None:
        self._call("rendered_fields")
        self._task(dag_id, dag_run_id, task_id, map_index)
        return self.rendered.get(task_id, {})

    def task_about(self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int) -> TaskAbout:
        self._call("task_about")
        self._task(dag_id, dag_run_id, task_id, map_index)
        return self.about.get(task_id, TaskAbout(None, None, []))

    def xcoms(
        self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int, start: int = 0
    ) -> XComPage:
        self._call("xcoms")
        self._task(dag_id, dag_run_id, task_id, map_index)
        left = sorted(self.left.get(task_id, {}).items())
        found = [value if isinstance(value, XCom) else XCom(key, self.now, value) for key, value in left]
        return XComPage(found[start : start + MOST_ENTRIES], len(found))

    # --- how

    def _task(self, dag_id: str, dag_run_id: str, task_id: str, map_index: int) -> TaskState:
        key = (dag_id, dag_run_id, task_id, map_index)
        if key not in self._tasks:
            raise NotFound("TaskInstance not found", service="airflow")
        return self._tasks[key]

    def _call(self, name: str, *, writes: bool = False) -> None:
        self.calls.append(name)
        if self.is_away:
            raise Unavailable("Airflow is not answering.", service="airflow")
        if self.knows_no_token or (writes and self.role == "viewer"):
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
