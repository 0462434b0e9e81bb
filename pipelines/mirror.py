"""Airflow's answers into rows: only what changed is written, and each function says what that was."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from core.lib import live
from pipelines.answers import Dag, DagDetails, DagRun, TaskNode, TaskState
from pipelines.answers import ImportFault as FoundFault
from pipelines.models import ForgottenRun, ImportFault, Pipeline, Run, RunState, TaskInstance, Wish

# A poll that was under way while somebody cancelled may still report the state before.
SETTLES_WITHIN = timedelta(seconds=30)


def changed_fields(row: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The values that differ from the row's."""
    return {name: value for name, value in values.items() if getattr(row, name) != value}


@transaction.atomic
def save_dags(found: list[Dag]) -> None:
    """Add and change pipelines; those that Airflow no longer lists get `gone_at`, those back lose it."""
    known = Pipeline.objects.in_bulk()
    touched = set()
    for dag in found:
        values = {**asdict(dag), "gone_at": None}
        row = known.pop(dag.dag_id, None)
        if row is None:
            Pipeline.objects.create(**values, next_attempt_at=None)
            touched.add(dag.dag_id)
        elif changes := changed_fields(row, values):
            Pipeline.objects.filter(pk=row.pk).update(**changes)
            touched.add(dag.dag_id)
    vanished = [dag_id for dag_id, row in known.items() if row.gone_at is None]
    if vanished:
        Pipeline.objects.filter(pk__in=vanished).update(gone_at=timezone.now())
    if touched or vanished:
        live.publish("pipelines", sorted({*touched, *vanished}))


@transaction.atomic
def save_details(pipeline: Pipeline, details: DagDetails, tasks: list[TaskNode]) -> None:
    """Parameters, documentation and the graph of one pipeline."""
    values = {**asdict(details), "tasks": [asdict(task) for task in tasks]}
    changes = changed_fields(pipeline, values)
    Pipeline.objects.filter(pk=pipeline.pk).update(**changes, details_at=timezone.now())
    if changes:
        live.publish("pipelines", [pipeline.dag_id])


@transaction.atomic
def save_import_faults(found: list[FoundFault]) -> None:
    """DAG files that cannot be read now; the mended ones go."""
    known = {row.airflow_id: row for row in ImportFault.objects.all()}
    changed = False
    for fault in found:
        row = known.pop(fault.airflow_id, None)
        if row is None or changed_fields(row, asdict(fault)):
            ImportFault.objects.update_or_create(airflow_id=fault.airflow_id, defaults=asdict(fault))
            changed = True
    if known:
        ImportFault.objects.filter(airflow_id__in=known).delete()
    if changed or known:
        live.publish("pipelines")


def save_runs(found: Sequence[DagRun]) -> list[Run]:
    """Add and change runs; returns the rows that are new or changed."""
    return _save_runs(found) if found else []


@transaction.atomic
def _save_runs(found: Sequence[DagRun]) -> list[Run]:
    by_key = {(run.dag_id, run.dag_run_id): run for run in found}
    known = {
        (row.dag_id, row.dag_run_id): row
        for row in Run.objects.filter(dag_run_id__in={key[1] for key in by_key})
    }
    forgotten = set(
        ForgottenRun.objects.filter(dag_run_id__in={key[1] for key in by_key}).values_list(
            "dag_id", "dag_run_id"
        )
    )
    touched = []
    for key, run in by_key.items():
        if key in forgotten:
            continue
        row = known.get(key)
        if row is None:
            touched.append(_add(run))
        elif _update(row, run):
            touched.append(row)
    publish_runs(touched)
    return touched


def _add(found: DagRun) -> Run:
    created_at = found.queued_at or found.started_at or timezone.now()
    values = {**_mirrored(found), "conf": found.conf, "note": found.note, "created_at": created_at}
    row, _is_new = Run.objects.get_or_create(
        dag_id=found.dag_id,
        dag_run_id=found.dag_run_id,
        defaults={**values, "state": found.state, "wish": Wish.NOTHING, "next_attempt_at": None},
    )
    return row


def _update(row: Run, found: DagRun) -> bool:
    if row.state == RunState.REFUSED:  # somebody else's run under our id
        return False
    changes = changed_fields(row, {**_mirrored(found), "state": seen_state(row, found.state)})
    if changes:
        # Only while nobody changed the row since we read it: the next poll sees it again otherwise.
        return bool(Run.objects.filter(pk=row.pk, state=row.state, wish=row.wish).update(**changes))
    return False


def _mirrored(found: DagRun) -> dict[str, Any]:
    return {
        "run_type": found.run_type,
        "triggered_by": found.triggered_by,
        "logical_date": found.logical_date,
        "started_at": found.started_at,
        "ended_at": found.ended_at,
    }


def seen_state(row: Run, state: str) -> str:
    """What the row shows when Airflow says `state`: its `failed` is our `cancelled` if we ended the run."""
    if row.state == RunState.CANCELLED and row.wish == Wish.CANCEL:
        return RunState.CANCELLED
    if row.cancelled_at is None:
        return state
    is_settling = timezone.now() - row.cancelled_at < SETTLES_WITHIN
    if state == RunState.FAILED or (is_settling and state in {RunState.QUEUED, RunState.RUNNING}):
        return RunState.CANCELLED
    return state


@transaction.atomic
def save_tasks(runs: list[Run], found: list[TaskState]) -> None:
    """The tasks of these runs; those that Airflow no longer has, because the DAG changed, go."""
    run_of = {(run.dag_id, run.dag_run_id): run.pk for run in runs}
    known = {
        (row.run_id, row.task_id, row.map_index): row for row in TaskInstance.objects.filter(run__in=runs)
    }
    new, touched = [], set()
    for task in found:
        run_id = run_of[task.dag_id, task.dag_run_id]
        values = {key: value for key, value in asdict(task).items() if key not in {"dag_id", "dag_run_id"}}
        row = known.pop((run_id, task.task_id, task.map_index), None)
        if row is None:
            new.append(TaskInstance(run_id=run_id, **values))
            touched.add(run_id)
        elif changes := changed_fields(row, values):
            TaskInstance.objects.filter(pk=row.pk).update(**changes)
            touched.add(run_id)
    TaskInstance.objects.bulk_create(new, ignore_conflicts=True)
    if known:
        TaskInstance.objects.filter(pk__in=[row.pk for row in known.values()]).delete()
        touched |= {row.run_id for row in known.values()}
    for run_id in touched:
        live.publish(f"run:{run_id}", [run_id])


def publish_runs(rows: Iterable[Run]) -> None:
    """Tell the lists and each run's own page."""
    ids = [row.pk for row in rows]
    if ids:
        live.publish("runs", ids)
    for run_id in ids:
        live.publish(f"run:{run_id}", [run_id])
