"""Airflow, through its REST API v2, written against release 3.3.

Answers are read as plain JSON, not through the client's typed models: those refuse a whole page for one
state that is newer than they are.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar

import urllib3
from airflow_client.client import (
    ApiClient,
    AssetApi,
    BackfillApi,
    BackfillPostBody,
    ClearTaskInstancesBody,
    Configuration,
    DAGApi,
    DagRunApi,
    DAGRunClearBody,
    DAGRunPatchBody,
    DagSourceApi,
    DagVersionApi,
    ImportErrorApi,
    PatchTaskInstanceBody,
    TaskApi,
    TaskInstanceApi,
    TaskInstancesBatchBody,
    TriggerDAGRunPostBody,
    UpdateHITLDetailPayload,
    XComApi,
)
from airflow_client.client.exceptions import ApiException, OpenApiException
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib import traces
from core.lib.aside import Unread
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound, Unauthorized, Unavailable
from pipelines import airflow_auth, answers, backfill_answers
from pipelines.airflow_auth import SERVICE
from pipelines.airflow_pages import PAGE, Failed, Listed, all_of, listed
from pipelines.answers import (
    Asset,
    AssetEvent,
    Dag,
    DagDetails,
    DagRun,
    ImportFault,
    InputRequest,
    LogPage,
    TaskNode,
    TaskState,
    TaskTry,
    UnreadPage,
    XCom,
)
from pipelines.backfill_answers import Backfill, WantedBackfill
from pipelines.log_lines import Lines
from pipelines.scope import Scope
from pipelines.states import MARKS

CONNECT_S, READ_S, LOG_READ_S = 2.0, 10.0, 60.0
HURRIED_S = 1.0
BACKFILL_READ_S = 150.0  # Airflow makes all runs of a backfill before it answers, some tens in a second
AWAITS = ["awaiting_input", "deferred"]  # states of a task that still takes an answer
LARGEST_VALUE = 1024 * 1024  # of what a page shows of a task, in bytes
MOST_ENTRIES = 30  # of a task's XComs: each value is a call of its own

STRUCTURE = "/ui/structure/structure_data"
SIGNED_IN = ["OAuth2PasswordBearer", "HTTPBearer"]  # as the client's own calls

_Meaning = TypeVar("_Meaning")


class AirflowGateway:
    """One caller's view of Airflow: the watcher (`viewer`), or the person for whom a worker acts (`user`)."""

    def __init__(self, client: ApiClient, timeout: tuple[float, float]) -> None:
        self._client = client
        self._dags, self._runs, self._tasks = DAGApi(client), DagRunApi(client), TaskApi(client)
        self._instances, self._faults = TaskInstanceApi(client), ImportErrorApi(client)
        self._xcoms = XComApi(client)
        self._sources, self._assets = DagSourceApi(client), AssetApi(client)
        self._versions = DagVersionApi(client)
        self._backfills = BackfillApi(client)
        self._options = {"_request_timeout": timeout}

    def hurried(self) -> "AirflowGateway":
        """The same for somebody who waits for a page that can do without the answer."""
        return AirflowGateway(self._client, (HURRIED_S, HURRIED_S))

    # --- pipelines

    def dags(self) -> list[Dag | Unread]:
        """Every DAG that Airflow finds in its files now."""
        call = self._dags.get_dags_without_preload_content
        return self._pages(call, "dags", answers.dag, answers.dag_key, order_by=["dag_id"])

    def dag_details(self, dag_id: str) -> DagDetails:
        """What the list leaves out: parameters with their schema, documentation, version."""
        call = self._dags.get_dag_details_without_preload_content
        return self._read(call, answers.dag_details, dag_id=dag_id)

    def newest_versions(self) -> dict[str, int]:
        """dag_id -> the number of its newest version, of DAGs whose versions are the PAGE latest of all.

        Airflow changes a version in place until a task of it was made; then the DAG gets a new one.
        """
        call = self._versions.get_dag_versions_without_preload_content

        def page(offset: int, size: int) -> Listed:
            options = {"dag_id": "~", "order_by": ["-id"], "limit": size, "offset": offset}
            return self._read(call, lambda answer: listed(answer, "dag_versions"), **options)

        newest: dict[str, int] = {}
        for one in answers.read(
            all_of(page, answers.row_key, most=PAGE), answers.dag_version, answers.dag_key
        ):
            if isinstance(one, tuple):
                newest[one[0]] = max(one[1], newest.get(one[0], 0))
        return newest

    def dag_tasks(self, dag_id: str) -> list[TaskNode]:
        """The tasks and what follows each."""
        call = self._tasks.get_tasks_without_preload_content
        return self._read(call, answers.task_nodes, dag_id=dag_id)

    def groups_of_tasks(self, dag_id: str) -> dict[str, list[str]]:
        """Of each task, the groups that it is in, the outermost first.

        Airflow tells that to its own pages alone, by a call that it promises nobody: where it
        fails, `dag_groups` tells. Raises what any call may.
        """

        def call(*, _request_timeout: Any, **query: str) -> urllib3.BaseHTTPResponse:
            request = self._client.param_serialize(
                "GET", STRUCTURE, query_params=list(query.items()), auth_settings=SIGNED_IN
            )
            return self._client.call_api(*request, _request_timeout=_request_timeout).response

        return self._read(call, answers.groups_of_tasks, dag_id=dag_id)

    def dag_groups(self, dag_id: str, names: Collection[str]) -> set[str]:
        """Those of `names` that are groups of tasks. Airflow tells of one at a time, `a` before `a.b`.

        Where `a` is none, `a.b` is none. Raises Unavailable, also when all take longer than one call may.
        """
        call = self._instances.get_task_instances_without_preload_content
        give_up_at = time.monotonic() + self._options["_request_timeout"][1]
        groups: set[str] = set()
        for name in sorted(names):
            outer = name.rpartition(".")[0]
            if outer and outer not in groups:
                continue
            if time.monotonic() > give_up_at:
                raise Unavailable(_("Airflow takes too long for so many tasks."), service=SERVICE)
            what = {"dag_id": dag_id, "dag_run_id": "~", "task_group_id": name, "limit": 1}
            try:
                self._read(call, answers.nothing, **what)
            except NotFound:
                continue
            groups.add(name)
        return groups

    def dag_source(self, dag_id: str, version: int) -> str:
        """The text of the file that this version came from. Raises NotFound."""
        call = self._sources.get_dag_source_without_preload_content
        options = {"dag_id": dag_id, "version_number": version, "accept": "application/json"}
        return self._read(call, answers.dag_source, **options)

    def assets(self) -> list[Asset | Unread]:
        """Every asset in use, with the tasks and pipelines at both its ends."""
        call = self._assets.get_assets_without_preload_content
        return self._pages(call, "assets", answers.asset, answers.asset_key, order_by=["id"])

    def asset_events(self, since: datetime | None, *, limit: int) -> list[AssetEvent | Unread]:
        """When assets changed, since then, the oldest first; since: None for the newest.

        limit: of events, to the next full page. Airflow itself orders those of one time by their id.
        """
        call = self._assets.get_asset_events_without_preload_content
        options: dict[str, Any] = {"order_by": ["timestamp"], "timestamp_gte": since}
        if since is None:
            options = {"order_by": ["-timestamp"]}

        def page(offset: int, size: int) -> Listed:
            return self._read(
                call, lambda answer: listed(answer, "asset_events"), limit=size, offset=offset, **options
            )

        items = all_of(page, answers.event_key, most=limit)
        return answers.read(items, answers.asset_event, answers.event_key)

    def set_paused(self, dag_id: str, *, is_paused: bool) -> None:
        """Stop or resume scheduling. Raises NotFound for an unknown DAG."""
        call = self._dags.patch_dag_without_preload_content
        self._read(call, answers.nothing, dag_id=dag_id, dag_patch_body={"is_paused": is_paused})

    def import_faults(self) -> list[ImportFault | Unread]:
        """DAG files that could not be read."""
        call = self._faults.get_import_errors_without_preload_content
        return self._pages(call, "import_errors", answers.import_fault, answers.fault_key)

    # --- runs

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
        """Ask Airflow to run a DAG as soon as it may; a paused one waits queued.

        Raises NotFound for an unknown DAG, Conflict when the run id or the logical date is taken,
        InvalidRequest for a conf that the DAG's parameters do not allow, and a partition where it has none.
        """
        start, end = data_interval or (None, None)
        body = TriggerDAGRunPostBody(
            dag_run_id=dag_run_id,
            logical_date=logical_date,
            run_after=run_after,
            data_interval_start=start,
            data_interval_end=end,
            partition_key=partition_key or None,
            conf=conf,
            note=note or None,
        )
        call = self._runs.trigger_dag_run_without_preload_content
        return self._read(call, answers.dag_run, dag_id=dag_id, trigger_dag_run_post_body=body)

    def run(self, dag_id: str, dag_run_id: str) -> DagRun:
        """Raises NotFound when Airflow has no such run."""
        call = self._runs.get_dag_run_without_preload_content
        return self._read(call, answers.dag_run, dag_id=dag_id, dag_run_id=dag_run_id)

    def runs_changed_since(
        self, since: datetime | None, *, limit: int
    ) -> tuple[list[DagRun | Unread], datetime]:
        """Runs of every DAG that changed since then, and the time by Airflow's clock when it looked.

        since: None for the newest runs, at most `limit` of them.
        """
        options: dict[str, Any] = {"dag_id": "~", "order_by": ["-id"]}
        if since is not None:
            # In the order of their making: rows that change while we turn pages keep their place.
            options |= {"order_by": ["id"], "updated_at_gte": since}
        call = self._runs.get_dag_runs_without_preload_content
        most = limit if since is None else None
        items, looked_at = self._dated_pages(call, "dag_runs", answers.run_key, most=most, **options)
        return answers.read(items, answers.dag_run, answers.run_key), looked_at

    def runs_under_way(self) -> set[tuple[str, str]]:
        """(dag_id, dag_run_id) of all that are queued or running."""
        call = self._runs.get_dag_runs_without_preload_content
        options: dict[str, Any] = {"dag_id": "~", "state": ["queued", "running"], "order_by": ["id"]}
        found = self._pages(call, "dag_runs", answers.run_of, answers.run_key, **options)
        return {run for run in found if isinstance(run, tuple)}

    def fail_run(self, dag_id: str, dag_run_id: str) -> DagRun:
        """End a run: its running tasks are stopped. Airflow's word for that is the state `failed`."""
        return self.set_run_state(dag_id, dag_run_id, "failed")

    def set_run_state(self, dag_id: str, dag_run_id: str, state: str) -> DagRun:
        """Make a run `success` or `failed`: its running tasks are stopped, those not begun are skipped."""
        body = DAGRunPatchBody(state=state)
        call = self._runs.patch_dag_run_without_preload_content
        return self._read(
            call, answers.dag_run, dag_id=dag_id, dag_run_id=dag_run_id, dag_run_patch_body=body
        )

    def clear_run(self, dag_id: str, dag_run_id: str, scope: Scope) -> DagRun:
        """Run the tasks of an ended run again, all or the failed ones; without any it stays ended."""
        body = DAGRunClearBody(
            dry_run=False, only_failed=scope.only_failed, run_on_latest_version=scope.run_on_latest_version
        )
        call = self._runs.clear_dag_run_without_preload_content
        return self._read(
            call, answers.dag_run, dag_id=dag_id, dag_run_id=dag_run_id, dag_run_clear_body=body
        )

    def set_note(self, dag_id: str, dag_run_id: str, note: str) -> None:
        """Write the run's note; an empty one takes it away."""
        call = self._runs.patch_dag_run_without_preload_content
        body = DAGRunPatchBody(note=note)
        self._read(call, answers.nothing, dag_id=dag_id, dag_run_id=dag_run_id, dag_run_patch_body=body)

    # --- what is done to tasks

    def clear_tasks(
        self, dag_id: str, dag_run_id: str, scope: Scope, *, dry_run: bool
    ) -> list[TaskState | Unread]:
        """Run these tasks of a run again; returns them, at the try before. dry_run: only tell which.

        Raises NotFound for an unknown run, InvalidRequest for a task that its DAG does not have.
        """
        markers = [name if index in (None, -1) else [name, index] for name, index in scope.named]
        body = ClearTaskInstancesBody.from_dict(
            {
                "dag_run_id": dag_run_id,
                "dry_run": dry_run,
                "only_failed": scope.only_failed,
                "include_upstream": scope.upstream,
                "include_downstream": scope.downstream,
                "run_on_latest_version": scope.run_on_latest_version,
                **({} if scope.is_whole_run else {"task_ids": markers}),
            }
        )
        call = self._instances.post_clear_task_instances_without_preload_content
        return self._read(call, answers.touched_tasks, dag_id=dag_id, clear_task_instances_body=body)

    def mark_tasks(
        self, dag_id: str, dag_run_id: str, scope: Scope, state: str, *, dry_run: bool
    ) -> list[TaskState | Unread]:
        """Give tasks the state `success`, `failed` or `skipped`; what failed after them may run then.

        scope: of one task or a group; Airflow takes several one by one (`Scope.each`).

        Returns those that get it, with dry_run only tells which. Raises NotFound, and Conflict where all
        have the state already.
        """
        if scope.group:
            return self._mark_group(dag_id, dag_run_id, scope, state, dry_run=dry_run)
        what: dict[str, Any] = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": scope.task_id}
        what["patch_task_instance_body"] = PatchTaskInstanceBody.from_dict(
            {"new_state": state, "include_upstream": scope.upstream, "include_downstream": scope.downstream}
        )
        if scope.map_index is None:
            dry, real = "patch_task_instance_dry_run", "patch_task_instance"
        else:
            what["map_index"] = scope.map_index
            dry, real = "patch_task_instance_dry_run_by_map_index", "patch_task_instance_by_map_index"
        call = getattr(self._instances, f"{dry if dry_run else real}_without_preload_content")
        return self._read(call, answers.touched_tasks, **what)

    def _mark_group(
        self, dag_id: str, dag_run_id: str, scope: Scope, state: str, *, dry_run: bool
    ) -> list[TaskState | Unread]:
        what: dict[str, Any] = {"dag_id": dag_id, "dag_run_id": dag_run_id, "group_id": scope.group}
        what["patch_task_instance_body"] = PatchTaskInstanceBody.from_dict(
            {"new_state": state, "include_upstream": scope.upstream, "include_downstream": scope.downstream}
        )
        name = "patch_task_group_instances_dry_run" if dry_run else "patch_task_group_instances"
        call = getattr(self._instances, f"{name}_without_preload_content")
        return self._read(call, answers.touched_tasks, **what)

    # --- backfills

    def backfills(self, dag_id: str) -> list[Backfill | Unread]:
        """The newest of a DAG, at most PAGE of them; none for an unknown DAG."""
        call = self._backfills.list_backfills_without_preload_content
        found = self._read(
            call, lambda answer: list(answer["backfills"]), dag_id=dag_id, order_by=["-id"], limit=PAGE
        )
        return answers.read(found, backfill_answers.backfill, backfill_answers.backfill_key)

    def backfill(self, airflow_id: int) -> Backfill:
        """Raises NotFound."""
        call = self._backfills.get_backfill_without_preload_content
        return self._read(call, backfill_answers.backfill, backfill_id=airflow_id)

    def backfill_dates(self, wanted: WantedBackfill) -> list[datetime]:
        """The logical dates that would run, in that order; nothing is done.

        Raises as `create_backfill` does, but for Conflict.
        """
        call = self._backfills.create_backfill_dry_run_without_preload_content
        body = BackfillPostBody.from_dict(wanted.as_json())
        return self._read(call, backfill_answers.backfill_dates, backfill_post_body=body)

    def create_backfill(self, wanted: WantedBackfill) -> Backfill:
        """Ask Airflow to run a DAG for past dates.

        Raises NotFound for an unknown DAG, Conflict while another of this DAG is under way, InvalidRequest
        for dates, a direction or a conf that the DAG does not allow.
        """
        call = self._backfills.create_backfill_without_preload_content
        body = BackfillPostBody.from_dict(wanted.as_json())
        limits = (CONNECT_S, BACKFILL_READ_S)
        return self._read(call, backfill_answers.backfill, backfill_post_body=body, _request_timeout=limits)

    def pause_backfill(self, airflow_id: int) -> Backfill:
        """Begin no more of its runs. Raises NotFound, Conflict for one that is over."""
        call = self._backfills.pause_backfill_without_preload_content
        return self._read(call, backfill_answers.backfill, backfill_id=airflow_id)

    def unpause_backfill(self, airflow_id: int) -> Backfill:
        """Go on. Raises NotFound, Conflict for one that is over."""
        call = self._backfills.unpause_backfill_without_preload_content
        return self._read(call, backfill_answers.backfill, backfill_id=airflow_id)

    def cancel_backfill(self, airflow_id: int) -> Backfill:
        """End it: queued runs fail, those that run go on. Raises NotFound, Conflict for one that is over."""
        call = self._backfills.cancel_backfill_without_preload_content
        return self._read(call, backfill_answers.backfill, backfill_id=airflow_id)

    # --- tasks and logs

    def task_states(self, runs: list[tuple[str, str]]) -> list[TaskState | Unread]:
        """The tasks of these runs, each given as (dag_id, dag_run_id), at their latest try."""
        wanted = set(runs)
        call = self._instances.get_task_instances_batch_without_preload_content

        def page(offset: int, size: int) -> Listed:
            body = TaskInstancesBatchBody(
                dag_ids=sorted({dag_id for dag_id, _run in wanted}),
                dag_run_ids=sorted({run_id for _dag, run_id in wanted}),
                page_limit=size,
                page_offset=offset,
                order_by="id",
            )
            return self._read(
                call,
                lambda answer: listed(answer, "task_instances"),
                dag_id="~",
                dag_run_id="~",
                task_instances_batch_body=body,
            )

        found = all_of(page, answers.row_key) if wanted else []
        # Airflow was asked for all runs of these names in all these DAGs.
        return answers.task_states(
            [item for item in found if isinstance(item, UnreadPage) or answers.run_of(item) in wanted]
        )

    def runs_of_changed_tasks(self, since: datetime) -> tuple[set[tuple[str, str]], datetime, bool]:
        """(dag_id, dag_run_id) of runs with a task that changed since then and stands as one could mark it.

        And the time by Airflow's clock when it looked, and whether it told of all.
        """
        call = self._instances.get_task_instances_without_preload_content
        # Those under way are written with each of their heartbeats.
        what: dict[str, Any] = {"dag_id": "~", "dag_run_id": "~", "order_by": ["id"]}
        what |= {"state": list(MARKS), "updated_at_gte": since}
        items, looked_at = self._dated_pages(call, "task_instances", answers.row_key, **what)
        found = answers.read(items, answers.run_of, answers.task_key)
        return {run for run in found if isinstance(run, tuple)}, looked_at, answers.is_whole(found)

    def log_page(
        self, dag_id: str, dag_run_id: str, task_id: str, *, try_number: int, map_index: int, token: str
    ) -> LogPage:
        """The lines since `token`, all when it is empty. Raises NotFound for an unknown task or try."""
        options = {"token": token} if token else {}
        call = self._instances.get_log_without_preload_content
        return self._read(
            call,
            answers.log_page,
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            task_id=task_id,
            try_number=try_number,
            map_index=map_index,
            accept="application/json",
            _request_timeout=(CONNECT_S, LOG_READ_S),
            **options,
        )

    @contextmanager
    def whole_log(
        self, dag_id: str, dag_run_id: str, task_id: str, *, try_number: int, map_index: int
    ) -> Iterator[Lines]:
        """The log of a try that has ended, line by line as it arrives, so that its size does not matter."""
        with _translated():
            answer = self._instances.get_log_without_preload_content(
                dag_id,
                dag_run_id,
                task_id,
                try_number,
                map_index=map_index,
                accept="application/x-ndjson",
                _headers={"Accept": "application/x-ndjson"},
                _request_timeout=(CONNECT_S, LOG_READ_S),
            )
            _checked(answer)
        try:
            yield Lines(_items(answer))
        finally:
            answer.close()  # what is left unread, where somebody else goes on, must meet nobody else's call
            answer.release_conn()

    # --- what tasks ask people

    def input_requests(self) -> list[InputRequest | Unread]:
        """Questions of all runs that wait for an answer."""
        call = self._instances.get_hitl_details_without_preload_content
        what = {"dag_id": "~", "dag_run_id": "~", "response_received": False, "state": AWAITS}
        return self._pages(
            call,
            "hitl_details",
            answers.input_request,
            answers.input_key,
            name=answers.asker_key,
            order_by=["created_at"],
            **what,
        )

    def answer_input(
        self,
        dag_id: str,
        dag_run_id: str,
        task_id: str,
        *,
        map_index: int,
        chosen: list[str],
        params_input: dict[str, Any],
    ) -> None:
        """Answer a task's question. Raises NotFound where it asks none, Conflict where it was answered,
        InvalidRequest for an option that it does not have and for a person it does not ask.
        """
        call = self._instances.update_hitl_detail_without_preload_content
        payload = UpdateHITLDetailPayload(chosen_options=chosen, params_input=params_input)
        self._read(
            call,
            answers.nothing,
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            task_id=task_id,
            map_index=map_index,
            update_hitl_detail_payload=payload,
        )

    # --- what the page of a task shows

    def task_tries(self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int) -> list[TaskTry]:
        """Every try, oldest first. Raises NotFound for an unknown task."""
        what: dict[str, Any] = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": task_id}
        if map_index < 0:
            call = self._instances.get_task_instance_tries_without_preload_content
        else:
            call, what["map_index"] = (
                self._instances.get_mapped_task_instance_tries_without_preload_content,
                map_index,
            )
        return self._read(call, answers.task_tries, **what)

    def rendered_fields(
        self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int
    ) -> dict[str, Any] | None:
        """What the task's templates came to, by field; None when it is too large to show.

        Raises NotFound for an unknown task.
        """
        call = self._instances.get_mapped_task_instance_without_preload_content
        what = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
        return self._bounded(call, answers.rendered_fields, **what)

    def xcoms(self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int) -> list[XCom]:
        """What the task left for others, the first MOST_ENTRIES by key; `value` is None for one too large.

        A value that cannot be had, say of a backend that fails, says why, and the others stand.
        """
        what = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
        listing = self._xcoms.get_xcom_entries_without_preload_content
        found = self._read(listing, answers.xcoms, limit=MOST_ENTRIES, **what)
        call = self._xcoms.get_xcom_entry_without_preload_content
        patient_until = time.monotonic() + READ_S
        entries: list[XCom] = []
        for one in found:
            trouble = next((entry.trouble for entry in entries if entry.trouble), "")
            if trouble and time.monotonic() > patient_until:
                entries.append(replace(one, trouble=trouble))
                continue
            try:
                value = self._bounded(call, answers.xcom_value, xcom_key=one.key, **what)
                entries.append(replace(one, value=value))
            except Unauthorized:  # nobody's entry is at fault
                raise
            except ConsoleError as error:
                entries.append(replace(one, trouble=error.message))
        return entries

    # --- how

    def _bounded(self, call: Any, meaning: Callable[[Any], _Meaning], **arguments: Any) -> _Meaning | None:
        """None for an answer above LARGEST_VALUE, of which no more is read."""
        with _translated():
            answer = call(**{**self._options, **arguments})
            try:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    _checked(answer)
                body = answer.read(LARGEST_VALUE + 1)
            finally:
                answer.close()
                answer.release_conn()
            return None if len(body) > LARGEST_VALUE else meaning(json.loads(body))

    def _read(self, call: Any, meaning: Callable[[Any], _Meaning], **arguments: Any) -> _Meaning:
        with _translated():
            answer = _checked(call(**{**self._options, **arguments}))
            return meaning(json.loads(answer.data) if answer.data else None)

    def _pages(
        self,
        call: Any,
        list_name: str,
        meaning: Callable[[Any], _Meaning],
        key: Callable[[Any], str],
        name: Callable[[Any], str] | None = None,
        **arguments: Any,
    ) -> list[_Meaning | Unread]:
        def page(offset: int, size: int) -> Listed:
            return self._read(
                call, lambda answer: listed(answer, list_name), limit=size, offset=offset, **arguments
            )

        return answers.read(all_of(page, name or key), meaning, key)

    def _dated_pages(
        self,
        call: Any,
        list_name: str,
        name: Callable[[Any], str],
        *,
        most: int | None = None,
        **arguments: Any,
    ) -> tuple[list[Any], datetime]:
        """The items of a list, and the time by Airflow's clock when it gave the first of them."""
        looked_at = []

        def page(offset: int, size: int) -> Listed:
            with _translated():
                answer = _checked(call(**arguments, limit=size, offset=offset, **self._options))
                found = listed(json.loads(answer.data), list_name)
            looked_at.append(answers.http_date(answer.headers.get("Date")))
            return found

        return all_of(page, name, most=most), looked_at[0]


def _items(answer: urllib3.BaseHTTPResponse) -> Iterator[Any]:
    with _translated():
        for line in answer:
            if line.strip():
                yield answers.stored_line(line)


def _checked(answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise ApiException(http_resp=answer, body=answer.data.decode(errors="replace"))
    return answer


@contextmanager
def _translated() -> Iterator[None]:
    """The one place where the client's exceptions, and those of the transport beneath it, become ours."""
    try:
        yield
    except ApiException as error:
        raise _from_status(error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(_("Airflow is not answering."), service=SERVICE) from error
    except (OpenApiException, ValueError, KeyError, TypeError) as error:
        message = _("Airflow gave an answer that the console does not understand: %(error)s")
        raise Unavailable(message % {"error": str(error)[:200]}, service=SERVICE) from error


def _from_status(error: ApiException) -> ConsoleError:
    words = answers.words_of_error(error.body or "") or str(error.reason)
    match error.status:
        case 404:
            return NotFound(words, service=SERVICE)
        case 409:
            return Conflict(words, service=SERVICE)
        case 400 | 422:
            return InvalidRequest(words, service=SERVICE, errors=answers.fields_of_error(words))
        case 403 if answers.is_of_respondent(words):
            return InvalidRequest(words, service=SERVICE)
        case 401 | 403:
            message = _("Airflow refused the console's own credentials: %(words)s")
            return Unauthorized(message % {"words": words}, service=SERVICE)
    message = _("Airflow could not answer (%(status)s): %(words)s")
    kind = Failed if error.status == HTTPStatus.INTERNAL_SERVER_ERROR else Unavailable
    return kind(message % {"status": error.status, "words": words[:200]}, service=SERVICE)


@cache
def _transport() -> ApiClient:
    configuration = Configuration(host=settings.CONSOLE_AIRFLOW_URL)
    configuration.retries = urllib3.Retry(0, redirect=0)
    return ApiClient(configuration)


def connect(username: str = airflow_auth.WATCHER, role: str = airflow_auth.VIEWER) -> AirflowGateway:
    """A gateway for this person, with no more rights in Airflow than `role` gives."""
    configuration = Configuration(
        host=settings.CONSOLE_AIRFLOW_URL, access_token=airflow_auth.access_token(username, role)
    )
    client = ApiClient(configuration)
    client.rest_client = _transport().rest_client  # one pool of connections for all callers
    if traces.is_on:
        client.set_default_header(traces.HEADER, traces.traceparent())
    return AirflowGateway(client, (CONNECT_S, READ_S))
