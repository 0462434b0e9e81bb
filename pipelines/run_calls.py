"""What is asked of Airflow about runs: what changed, and what is done to a whole run."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from airflow_client.client import (
    ApiClient,
    DagRunApi,
    DAGRunClearBody,
    DAGRunPatchBody,
    TriggerDAGRunPostBody,
)

from core.lib.aside import Unread
from pipelines import answers, run_answers
from pipelines.airflow_calls import AirflowCalls
from pipelines.run_answers import DagRun
from pipelines.scope import Scope

LONGEST_QUESTION = 4000  # bytes of ids in an address, of which servers in between take 8 kB
SHORTEST_ASKED = 16  # characters of a run's id: ever more others begin as a shorter one does
MOST_LISTED = 1000  # runs in answer to such a question


class RunCalls(AirflowCalls):
    """Part of the gateway."""

    def __init__(self, client: ApiClient, timeout: tuple[float, float]) -> None:
        super().__init__(client, timeout)
        self._runs = DagRunApi(client)

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
        return self._read(call, run_answers.dag_run, dag_id=dag_id, trigger_dag_run_post_body=body)

    def run(self, dag_id: str, dag_run_id: str) -> DagRun:
        """Raises NotFound when Airflow has no such run."""
        call = self._runs.get_dag_run_without_preload_content
        return self._read(call, run_answers.dag_run, dag_id=dag_id, dag_run_id=dag_run_id)

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
        items, looked_at = self._dated_pages(call, "dag_runs", run_answers.run_key, most=most, **options)
        return answers.read(items, run_answers.dag_run, run_answers.run_key), looked_at

    def runs_under_way(self) -> set[tuple[str, str]]:
        """(dag_id, dag_run_id) of all that are queued or running."""
        call = self._runs.get_dag_runs_without_preload_content
        options: dict[str, Any] = {"dag_id": "~", "state": ["queued", "running"], "order_by": ["id"]}
        found = self._pages(call, "dag_runs", run_answers.run_of, run_answers.run_key, **options)
        return {run for run in found if isinstance(run, tuple)}

    def runs_there(self, runs: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of these runs, each as (dag_id, dag_run_id), that Airflow lists now, and others like them.

        One that it does not list may be there all the same, under an id that such a question cannot hold: a
        short one asks for all that begin so, as `manual` does. Where others like them are too many, not all
        are listed.
        """
        call = self._runs.get_dag_runs_without_preload_content
        found: set[tuple[str, str]] = set()
        for dag_ids, run_ids in _questions(run for run in runs if len(run[1]) >= SHORTEST_ASKED):
            items, _looked_at = self._dated_pages(
                call,
                "dag_runs",
                run_answers.run_key,
                most=MOST_LISTED,
                dag_id="~",
                dag_id_prefix_pattern="|".join(sorted(dag_ids)),
                run_id_prefix_pattern="|".join(sorted(run_ids)),
                order_by=["id"],
            )
            listed = answers.read(items, run_answers.run_of, run_answers.run_key)
            found |= {run for run in listed if isinstance(run, tuple)}
        return found

    def fail_run(self, dag_id: str, dag_run_id: str) -> DagRun:
        """End a run: its running tasks are stopped. Airflow's word for that is the state `failed`."""
        return self.set_run_state(dag_id, dag_run_id, "failed")

    def set_run_state(self, dag_id: str, dag_run_id: str, state: str) -> DagRun:
        """Make a run `success` or `failed`: its running tasks are stopped, those not begun are skipped."""
        body = DAGRunPatchBody(state=state)
        call = self._runs.patch_dag_run_without_preload_content
        return self._read(
            call, run_answers.dag_run, dag_id=dag_id, dag_run_id=dag_run_id, dag_run_patch_body=body
        )

    def clear_run(self, dag_id: str, dag_run_id: str, scope: Scope) -> DagRun:
        """Run tasks of a run again: all, the failed or the new ones; without any an ended run stays so."""
        body = DAGRunClearBody(
            dry_run=False,
            only_failed=scope.only_failed,
            only_new=scope.only_new,
            run_on_latest_version=scope.run_on_latest_version,
            note=scope.note or None,
        )
        call = self._runs.clear_dag_run_without_preload_content
        return self._read(
            call, run_answers.dag_run, dag_id=dag_id, dag_run_id=dag_run_id, dag_run_clear_body=body
        )

    def new_tasks(self, dag_id: str, dag_run_id: str) -> list[str]:
        """The tasks that the newest version of the DAG has and this run has not."""
        body = DAGRunClearBody(dry_run=True, only_new=True)
        call = self._runs.clear_dag_run_without_preload_content
        return self._read(
            call, run_answers.new_tasks, dag_id=dag_id, dag_run_id=dag_run_id, dag_run_clear_body=body
        )

    def set_note(self, dag_id: str, dag_run_id: str, note: str) -> None:
        """Write the run's note; an empty one takes it away."""
        call = self._runs.patch_dag_run_without_preload_content
        body = DAGRunPatchBody(note=note)
        self._read(call, answers.nothing, dag_id=dag_id, dag_run_id=dag_run_id, dag_run_patch_body=body)


def _questions(runs: Iterable[tuple[str, str]]) -> Iterator[tuple[set[str], set[str]]]:
    """The ids of DAGs and of runs, as many at once as LONGEST_QUESTION has room for; one at least."""
    dag_ids: set[str] = set()
    run_ids: set[str] = set()
    for dag_id, run_id in sorted(runs):
        longer = (dag_ids | {dag_id}, run_ids | {run_id})
        if run_ids and sum(len(quote("|".join(ids), safe="")) for ids in longer) > LONGEST_QUESTION:
            yield dag_ids, run_ids
            longer = ({dag_id}, {run_id})
        dag_ids, run_ids = longer
    if run_ids:
        yield dag_ids, run_ids
