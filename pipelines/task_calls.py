"""What is asked of Airflow about the tasks of runs: states, logs, questions, XComs; clearing, marking."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import urllib3
from airflow_client.client import (
    ApiClient,
    ClearTaskInstancesBody,
    PatchTaskInstanceBody,
    TaskApi,
    TaskInstanceApi,
    TaskInstancesBatchBody,
    UpdateHITLDetailPayload,
    XComApi,
)

from core.lib.aside import Unread
from core.lib.errors import ConsoleError, NotFound, Unauthorized
from pipelines import answers, run_answers, task_answers
from pipelines.airflow_calls import CONNECT_S, READ_S, AirflowCalls, checked, translated
from pipelines.airflow_pages import Listed, all_of, listed
from pipelines.answers import UnreadPage
from pipelines.log_lines import Lines, Own
from pipelines.scope import Scope
from pipelines.states import MARKS
from pipelines.task_answers import (
    GivenAnswer,
    InputRequest,
    Link,
    LogPage,
    TaskAbout,
    TaskRules,
    TaskState,
    TaskTry,
    XCom,
    XComPage,
)

LOG_READ_S = 60.0
AWAITS = ["awaiting_input", "deferred"]  # states of a task that still takes an answer
MOST_ENTRIES = 30  # of a task's XComs at once: each value is a call of its own


class TaskCalls(AirflowCalls):
    """Part of the gateway."""

    def __init__(self, client: ApiClient, timeout: tuple[float, float]) -> None:
        super().__init__(client, timeout)
        self._instances, self._xcoms = TaskInstanceApi(client), XComApi(client)
        self._task_rules = TaskApi(client)

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
        return task_answers.task_states(
            [item for item in found if isinstance(item, UnreadPage) or run_answers.run_of(item) in wanted]
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
        found = answers.read(items, run_answers.run_of, task_answers.task_key)
        return {run for run in found if isinstance(run, tuple)}, looked_at, answers.is_whole(found)

    def log_page(
        self, dag_id: str, dag_run_id: str, task_id: str, *, try_number: int, map_index: int, token: str
    ) -> LogPage:
        """The lines since `token`, all when it is empty. Raises NotFound for an unknown task or try."""
        options = {"token": token} if token else {}
        call = self._instances.get_log_without_preload_content
        return self._read(
            call,
            partial(task_answers.log_page, own=_own(dag_id, dag_run_id, task_id, try_number, map_index)),
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
        with translated():
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
            checked(answer)
        try:
            yield Lines(_items(answer), _own(dag_id, dag_run_id, task_id, try_number, map_index))
        finally:
            answer.close()  # what is left unread, where somebody else goes on, must meet nobody else's call
            answer.release_conn()

    # --- what is done to them

    def clear_tasks(
        self, dag_id: str, dag_run_id: str, scope: Scope, *, dry_run: bool
    ) -> list[TaskState | Unread]:
        """Run these tasks of a run again; returns them, at the try before. dry_run: only tell which.

        Raises NotFound for an unknown run, InvalidRequest for a task that its DAG does not have, Conflict for
        a running one where those are not to be stopped.
        """
        markers = [name if index in (None, -1) else [name, index] for name, index in scope.named]
        body = ClearTaskInstancesBody.from_dict(
            {
                "dag_run_id": dag_run_id,
                "dry_run": dry_run,
                "only_failed": scope.only_failed,
                "include_upstream": scope.upstream,
                "include_downstream": scope.downstream,
                "include_past": scope.past,
                "include_future": scope.future,
                "prevent_running_task": scope.prevent_running,
                "note": scope.note or None,
                "run_on_latest_version": scope.run_on_latest_version,
                **({} if scope.is_whole_run else {"task_ids": markers}),
            }
        )
        call = self._instances.post_clear_task_instances_without_preload_content
        return self._read(call, task_answers.touched_tasks, dag_id=dag_id, clear_task_instances_body=body)

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
        what["patch_task_instance_body"] = _mark(scope, state)
        if scope.map_index is None:
            dry, real = "patch_task_instance_dry_run", "patch_task_instance"
        else:
            what["map_index"] = scope.map_index
            dry, real = "patch_task_instance_dry_run_by_map_index", "patch_task_instance_by_map_index"
        call = getattr(self._instances, f"{dry if dry_run else real}_without_preload_content")
        return self._read(call, task_answers.touched_tasks, **what)

    def _mark_group(
        self, dag_id: str, dag_run_id: str, scope: Scope, state: str, *, dry_run: bool
    ) -> list[TaskState | Unread]:
        what: dict[str, Any] = {"dag_id": dag_id, "dag_run_id": dag_run_id, "group_id": scope.group}
        what["patch_task_instance_body"] = _mark(scope, state)
        name = "patch_task_group_instances_dry_run" if dry_run else "patch_task_group_instances"
        call = getattr(self._instances, f"{name}_without_preload_content")
        return self._read(call, task_answers.touched_tasks, **what)

    # --- what they ask people

    def input_requests(self) -> list[InputRequest | Unread]:
        """Questions of all runs that wait for an answer."""
        call = self._instances.get_hitl_details_without_preload_content
        what = {"dag_id": "~", "dag_run_id": "~", "response_received": False, "state": AWAITS}
        return self._pages(
            call,
            "hitl_details",
            task_answers.input_request,
            task_answers.input_key,
            name=task_answers.asker_key,
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

    def given_answer(
        self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int, try_number: int
    ) -> GivenAnswer | None:
        """What the question of this try was answered; None while it waits.

        Raises NotFound for a try that asks, or asked, nothing.
        """
        call = self._instances.get_hitl_detail_try_detail_without_preload_content
        what: dict[str, Any] = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": task_id}
        what |= {"map_index": map_index, "try_number": try_number}
        return self._bounded(call, task_answers.given_answer, **what)

    # --- what the page of one shows

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
        return self._read(call, task_answers.task_tries, **what)

    def task_about(self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int) -> TaskAbout:
        """How it is written, where it ran, its note and links; each is alone in what cannot be had of it.

        Raises NotFound for an unknown task instance.
        """
        what = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
        call = self._instances.get_mapped_task_instance_without_preload_content
        place = self._bounded(call, task_answers.task_place, **what)
        call = self._instances.get_extra_links_without_preload_content
        found: list[Link] = []
        trouble = ""
        try:
            found = self._bounded(call, task_answers.links, **what) or []
        except Unauthorized:
            raise
        except NotFound:  # the DAG of the run has no such task
            pass
        except ConsoleError as error:
            trouble = error.message
        return TaskAbout(self._rules(dag_id, task_id), place, found, trouble)

    def _rules(self, dag_id: str, task_id: str) -> TaskRules | None:
        call = self._task_rules.get_task_without_preload_content
        try:
            return self._bounded(call, task_answers.task_rules, dag_id=dag_id, task_id=task_id)
        except NotFound:
            return None

    def rendered_fields(
        self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int
    ) -> dict[str, Any] | None:
        """What the task's templates came to, by field; None when it is too large to show.

        Raises NotFound for an unknown task.
        """
        call = self._instances.get_mapped_task_instance_without_preload_content
        what = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
        return self._bounded(call, task_answers.rendered_fields, **what)

    def xcoms(
        self, dag_id: str, dag_run_id: str, task_id: str, *, map_index: int, start: int = 0
    ) -> XComPage:
        """What the task left for others: MOST_ENTRIES by key after so many.

        `value` is None for one too large. Airflow writes what JSON does not have, such as a tuple, as its own
        pages do. A value that cannot be had, say of a backend that fails, says why, and the others stand.
        """
        what = {"dag_id": dag_id, "dag_run_id": dag_run_id, "task_id": task_id, "map_index": map_index}
        listing = self._xcoms.get_xcom_entries_without_preload_content
        found = self._read(listing, task_answers.xcoms, limit=MOST_ENTRIES, offset=start, **what)
        call = self._xcoms.get_xcom_entry_without_preload_content
        patient_until = time.monotonic() + READ_S
        entries: list[XCom] = []
        for one in found.entries:
            trouble = next((entry.trouble for entry in entries if entry.trouble), "")
            if trouble and time.monotonic() > patient_until:
                entries.append(replace(one, trouble=trouble))
                continue
            try:
                value = self._bounded(
                    call, task_answers.xcom_value, xcom_key=one.key, deserialize=True, **what
                )
                entries.append(replace(one, value=value))
            except Unauthorized:  # nobody's entry is at fault
                raise
            except ConsoleError as error:
                entries.append(replace(one, trouble=error.message))
        return replace(found, entries=entries)


def _own(dag_id: str, dag_run_id: str, task_id: str, try_number: int, map_index: int) -> Own:
    return {
        "dag_id": dag_id,
        "run_id": dag_run_id,
        "task_id": task_id,
        "try_number": try_number,
        "map_index": map_index,
    }


def _mark(scope: Scope, state: str) -> PatchTaskInstanceBody | None:
    return PatchTaskInstanceBody.from_dict(
        {
            "new_state": state,
            "include_upstream": scope.upstream,
            "include_downstream": scope.downstream,
            "include_past": scope.past,
            "include_future": scope.future,
            **({"note": scope.note} if scope.note else {}),
        }
    )


def _items(answer: urllib3.BaseHTTPResponse) -> Iterator[Any]:
    with translated():
        for line in answer:
            if line.strip():
                yield task_answers.stored_line(line)
