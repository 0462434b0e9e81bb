"""The backfills of the Airflow in memory: days of its DAGs that run at midnight."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from core.lib.errors import Conflict, InvalidRequest, NotFound
from pipelines import answers
from pipelines.backfill_answers import Backfill, WantedBackfill, WantedRun
from pipelines.dag_answers import Dag
from pipelines.run_answers import DagRun

AGAIN: dict[str, tuple[str, ...]] = {"none": (), "failed": ("failed",), "completed": ("failed", "success")}


class Backfills:
    """What `FakeAirflow` does with them; its runs, its clock and who calls are that one's."""

    now: datetime
    username: str
    _runs: dict[tuple[str, str], DagRun]
    _backfills: dict[int, Backfill]
    _runs_of_backfill: dict[int, list[tuple[str, str]]]
    _call: Any
    _put: Any
    _dag: Any

    def backfills(self, dag_id: str) -> list[Backfill]:
        self._call("backfills")
        return [one for one in reversed(self._backfills.values()) if one.dag_id == dag_id]

    def backfill(self, airflow_id: int) -> Backfill:
        self._call("backfill")
        return self._backfill(airflow_id)

    def backfill_dates(self, wanted: WantedBackfill) -> list[WantedRun]:
        self._call("backfill_dates", writes=True)
        is_partitioned = self._dag(wanted.dag_id)[0].is_partitioned
        dates = [
            WantedRun(at, at.strftime("%Y-%m-%dT%H:%M:%S") if is_partitioned else "")
            for at in self._dates(wanted)
            if self._runs_anew(wanted, at)
        ]
        return dates[::-1] if wanted.run_backwards else dates

    def create_backfill(self, wanted: WantedBackfill) -> Backfill:
        self._call("create_backfill", writes=True)
        self._dag(wanted.dag_id)
        if any(one.dag_id == wanted.dag_id and not one.completed_at for one in self._backfills.values()):
            words = f"There is already a running backfill for dag {wanted.dag_id}"
            raise Conflict(words, service="airflow")
        if not self._dates(wanted):
            words = f"No runs to create for Dag {wanted.dag_id} in the range"
            raise InvalidRequest(words, service="airflow", errors=answers.fields_of_error(words))
        dates = [at for at in self._dates(wanted) if self._runs_anew(wanted, at)]
        found = Backfill(
            airflow_id=len(self._backfills) + 1,
            dag_id=wanted.dag_id,
            from_date=wanted.from_date,
            to_date=wanted.to_date,
            conf=dict(wanted.conf or {}),
            reprocess_behavior=wanted.reprocess_behavior,
            max_active_runs=wanted.max_active_runs,
            is_paused=False,
            started_at=self.now,
            completed_at=None,
        )
        self._backfills[found.airflow_id] = found
        self._runs_of_backfill[found.airflow_id] = [self._queue(wanted, at) for at in dates]
        return found

    def pause_backfill(self, airflow_id: int) -> Backfill:
        return self._change("pause_backfill", airflow_id, is_paused=True)

    def unpause_backfill(self, airflow_id: int) -> Backfill:
        return self._change("unpause_backfill", airflow_id, is_paused=False)

    def cancel_backfill(self, airflow_id: int) -> Backfill:
        done = self._change("cancel_backfill", airflow_id, is_paused=True, completed_at=self.now)
        for key in self._runs_of_backfill[airflow_id]:
            if self._runs[key].state == "queued":
                self._put(replace(self._runs[key], state="failed"))
        return done

    def complete_backfill(self, airflow_id: int) -> None:
        """The scheduler finds that none of its runs is under way."""
        self._backfills[airflow_id] = replace(self._backfills[airflow_id], completed_at=self.now)

    def delete_backfill(self, airflow_id: int) -> None:
        """Somebody deletes its DAG in Airflow."""
        del self._backfills[airflow_id]

    def _change(self, name: str, airflow_id: int, **values: Any) -> Backfill:
        self._call(name, writes=True)
        if self._backfill(airflow_id).completed_at:
            raise Conflict("Backfill is already completed.", service="airflow")
        self._backfills[airflow_id] = replace(self._backfills[airflow_id], **values)
        return self._backfills[airflow_id]

    def _backfill(self, airflow_id: int) -> Backfill:
        if airflow_id not in self._backfills:
            raise NotFound("Backfill not found", service="airflow")
        return self._backfills[airflow_id]

    def _dates(self, wanted: WantedBackfill) -> list[datetime]:
        """Its midnights; refused as Airflow refuses."""
        dag: Dag = self._dag(wanted.dag_id)[0]
        words = ""
        if not dag.schedule:
            words = f"{wanted.dag_id} has a non-periodic schedule that does not support backfills"
        elif wanted.from_date > wanted.to_date:
            words = f"from_date ({wanted.from_date}) must not be after to_date ({wanted.to_date})."
        elif wanted.from_date >= self.now:
            words = "Backfill cannot be executed for future dates."
        if words:
            raise InvalidRequest(words, service="airflow", errors=answers.fields_of_error(words))
        midnight = wanted.from_date.replace(hour=0, minute=0, second=0, microsecond=0)
        days = range((wanted.to_date - midnight).days + 1)
        dates = [midnight + timedelta(days=day) for day in days]
        takes_all = dag.is_partitioned  # also what is to come
        return [at for at in dates if wanted.from_date <= at and (takes_all or at < self.now)]

    def _runs_anew(self, wanted: WantedBackfill, at: datetime) -> bool:
        there = self._run_at(wanted.dag_id, at)
        return there is None or there.state in AGAIN[wanted.reprocess_behavior]

    def _run_at(self, dag_id: str, at: datetime) -> DagRun | None:
        runs = [run for run in self._runs.values() if run.dag_id == dag_id]
        return next((run for run in reversed(runs) if at in {run.logical_date, run.partition_date}), None)

    def _queue(self, wanted: WantedBackfill, at: datetime) -> tuple[str, str]:
        if self._dag(wanted.dag_id)[0].is_partitioned:
            return self._queue_partition(wanted, at)
        there = self._run_at(wanted.dag_id, at)
        dag_run_id = there.dag_run_id if there else f"backfill__{at.isoformat()}"
        run = DagRun(
            dag_id=wanted.dag_id,
            dag_run_id=dag_run_id,
            state="queued",
            conf=dict(wanted.conf or {}) or (there.conf if there else {}),
            note="",
            run_type="backfill",
            triggered_by=self.username,
            logical_date=at,
            queued_at=self.now,
            started_at=None,
            ended_at=None,
        )
        self._put(run)
        return run.dag_id, run.dag_run_id

    def _queue_partition(self, wanted: WantedBackfill, at: datetime) -> tuple[str, str]:
        """A new run, beside what the partition has."""
        key = at.strftime("%Y-%m-%dT%H:%M:%S")
        run = DagRun(
            dag_id=wanted.dag_id,
            dag_run_id=f"backfill__{key}__{len(self._runs)}",
            state="queued",
            conf=dict(wanted.conf or {}),
            note="",
            run_type="backfill",
            triggered_by=self.username,
            logical_date=None,
            queued_at=self.now,
            started_at=self.now,
            ended_at=None,
            partition_key=key,
            partition_date=at,
        )
        self._put(run)
        return run.dag_id, run.dag_run_id
