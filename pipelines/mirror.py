"""Airflow's answers into rows: only what changed is written, and each function says what that was."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial, reduce
from operator import attrgetter, or_
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from core.lib import live
from core.lib.aside import Unread
from pipelines import asset_waits, loops
from pipelines.answers import UnreadPage, is_whole
from pipelines.asset_answers import Asset as FoundAsset
from pipelines.dag_answers import Dag, DagDetails, TaskNode
from pipelines.dag_answers import ImportFault as FoundFault
from pipelines.models import (
    LONGEST_SOURCE,
    NOT_THERE,
    Asset,
    ForgottenRun,
    ImportFault,
    InputRequest,
    Pipeline,
    PipelineSource,
    Run,
    RunNote,
    TaskInstance,
    Wish,
)
from pipelines.run_answers import DagRun
from pipelines.states import ENDED, NEVER_RAN, TASK_ENDED, RunState
from pipelines.task_answers import InputRequest as FoundInput
from pipelines.task_answers import TaskState

T = TypeVar("T")

# Airflow stamps a row when it writes it and commits later, and may write a run before its last task: a look
# back, and another look, catch what was not visible then.
OVERLAP = timedelta(seconds=15)
# A poll that was under way while somebody cancelled may still report the state before.
SETTLES_WITHIN = timedelta(seconds=30)
GONE_LONG = timedelta(hours=1)
MOST_TRIES = 20  # kept of each task, the latest


def changed_fields(row: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The values that differ from the row's."""
    return {name: value for name, value in values.items() if getattr(row, name) != value}


def save_dags(found: Sequence[Dag | Unread]) -> None:
    """Add and change pipelines; those that Airflow no longer lists get `gone_at`, those back lose it."""
    key, are_all = attrgetter("dag_id"), is_whole(found)
    touched = loops.DAGS.save(found, _save_dags, key=key, about=key, is_all=are_all)
    listed = {dag.key for dag in found}
    here = Pipeline.objects.filter(gone_at=None).values_list("dag_id", flat=True)
    vanished = [dag_id for dag_id in here if dag_id not in listed] if are_all else []
    with transaction.atomic():
        if vanished:
            Pipeline.objects.filter(pk__in=vanished).update(gone_at=timezone.now())
        if touched or vanished:
            live.publish("pipelines", sorted({*touched, *vanished}))


def _save_dags(found: Sequence[Dag]) -> list[str]:
    """Those that are new or changed."""
    known = Pipeline.objects.in_bulk([dag.dag_id for dag in found])
    touched = []
    for dag in found:
        values = {**asdict(dag), "gone_at": None}
        row = known.get(dag.dag_id)
        if row is None:
            known[dag.dag_id] = Pipeline.objects.create(**values, next_attempt_at=None)
            touched.append(dag.dag_id)
        elif changes := changed_fields(row, values):
            if changes.get("is_paused") is False or _was_long_gone(row):
                changes["awake_at"] = timezone.now()
            Pipeline.objects.filter(pk=row.pk).update(**changes)
            touched.append(dag.dag_id)
    return touched


def _was_long_gone(row: Pipeline) -> bool:
    """Not only while Airflow read its file anew: its rules' time would begin again each time."""
    return row.gone_at is not None and timezone.now() - row.gone_at > GONE_LONG


@transaction.atomic
def save_details(pipeline: Pipeline, details: DagDetails, tasks: list[TaskNode]) -> bool:
    """Parameters, documentation and the graph of one pipeline; whether anything of them changed."""
    values = {**asdict(details), "tasks": [asdict(task) for task in tasks]}
    changes = changed_fields(pipeline, values)
    Pipeline.objects.filter(pk=pipeline.pk).update(**changes, details_at=timezone.now())
    if changes:
        live.publish("pipelines", [pipeline.dag_id])
    return bool(changes)


def save_source(pipeline: Pipeline, version: int, text: str, tasks: Sequence[TaskNode] = ()) -> None:
    """The file and the graph of one version, which stay as they are once something ran it."""
    values = {"text": text.replace("\x00", "")[:LONGEST_SOURCE], "tasks": [asdict(task) for task in tasks]}
    PipelineSource.objects.update_or_create(dag_id=pipeline.dag_id, version=version, defaults=values)


def save_assets(found: Sequence[FoundAsset | Unread]) -> None:
    """Add and change assets; those that nothing uses any more go."""
    are_all = is_whole(found)
    touched = loops.ASSETS.save(found, _save_assets, key=attrgetter("key"), is_all=are_all)
    listed = {asset.key for asset in found}
    unused = [row.pk for row in Asset.objects.all() if row.key not in listed] if are_all else []
    with transaction.atomic():
        if unused:
            Asset.objects.filter(pk__in=unused).delete()
        if touched or unused:
            live.publish("pipelines")


def _save_assets(found: Sequence[FoundAsset]) -> list[FoundAsset]:
    """Those that are new or changed."""
    known = Asset.objects.in_bulk([asset.airflow_id for asset in found], field_name="airflow_id")
    touched, named = [], set()
    for asset in found:
        row, values = known.get(asset.airflow_id), asdict(asset)
        changes = values if row is None else changed_fields(row, values)
        if changes:
            Asset.objects.update_or_create(airflow_id=asset.airflow_id, defaults=values)
            touched.append(asset)
        if not changes.keys().isdisjoint(asset_waits.NAMES):
            named.add(asset.airflow_id)
    if named:  # its event may have come before anybody knew who waits for it
        asset_waits.may_differ(named)
    return touched


def save_import_faults(found: Sequence[FoundFault | Unread]) -> None:
    """DAG files that cannot be read now; those corrected go."""
    are_all = is_whole(found)
    touched = loops.FILES.save(found, _save_import_faults, key=attrgetter("key"), is_all=are_all)
    listed = {fault.key for fault in found}
    corrected = [row.pk for row in ImportFault.objects.all() if row.key not in listed] if are_all else []
    with transaction.atomic():
        if corrected:
            ImportFault.objects.filter(pk__in=corrected).delete()
        if touched or corrected:
            live.publish("pipelines")


def _save_import_faults(found: Sequence[FoundFault]) -> list[FoundFault]:
    """Those that are new or changed."""
    known = ImportFault.objects.in_bulk([fault.airflow_id for fault in found], field_name="airflow_id")
    touched = []
    for fault in found:
        row = known.get(fault.airflow_id)
        if row is None or changed_fields(row, asdict(fault)):
            ImportFault.objects.update_or_create(airflow_id=fault.airflow_id, defaults=asdict(fault))
            touched.append(fault)
    return touched


def save_runs(found: Sequence[DagRun | Unread]) -> list[Run]:
    """Add and change runs; returns the rows that are new or changed."""
    runs, _pages = _without_pages("runs", found)
    if not runs:
        return []
    return loops.RUNS.save(runs, _save_runs, key=attrgetter("key"), about=attrgetter("dag_id"))


def _without_pages(what: str, found: Sequence[T | Unread]) -> tuple[list[T | Unread], bool]:
    """The items, and whether some lie in pages that could not be read, which are noted.

    A place in a list of what changed lately is soon another item's: nobody asks for it again.
    """
    for item in found:
        if isinstance(item, UnreadPage):
            loops.PAGES.set_aside(f"{what}, {item.key}", item.reason)
    return [item for item in found if not isinstance(item, UnreadPage)], not is_whole(found)


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
        defaults={
            **values,
            "state": _state(found),
            "wish": Wish.NOTHING,
            "next_attempt_at": None,
            "tasks_due_until": _due_until(found),
        },
    )
    return row


def _due_until(found: DagRun) -> datetime:
    """For how long the tasks of a run that changed are to be read, at least once."""
    now = timezone.now()
    return now if found.ended_at is None else max(now, min(found.ended_at, now) + OVERLAP)


def _make_due(row: Run) -> None:
    """Once: a worker may be at it by the next look."""
    if not row.wish_details.get("has_ended"):
        waiting = Run.objects.filter(pk=row.pk, wish=row.wish, wish_details=row.wish_details)
        noted = {**row.wish_details, "has_ended": True}
        waiting.filter(next_attempt_at__gt=timezone.now()).update(
            next_attempt_at=timezone.now(), wish_details=noted
        )


def _update(row: Run, found: DagRun) -> bool:
    if row.state == RunState.REFUSED:  # somebody else's run under our id
        return False
    if row.awaits_teardowns and found.state in ENDED and not row.is_queued_anew(found.queued_at):
        # Its worker tells how it ended: Airflow may have gone by its tasks, and not by the wish.
        _make_due(row)
        return False
    values = {**_mirrored(found), "note": found.note, "state": seen_state(row, found)}
    for name in ("logical_date", "run_after", "partition_date"):
        if values[name] is None:  # nothing that can be read: what was known of it stays
            del values[name]
    if values["state"] in {RunState.QUEUED, RunState.RUNNING}:  # somebody runs it again: it may fail now
        values["cancelled_at"] = None
    is_back = row.gone_at is not None  # or another one of that id took its place
    if is_back:
        values |= {"gone_at": None, "cancelled_at": None, "state": _state(found)}
    if is_back or found.run_type == "backfill":  # which may have run it again with other settings
        values["conf"] = found.conf
    changes = changed_fields(row, values)
    if "note" in changes and RunNote.objects.filter(run=row).exists():  # ours is on its way there
        del changes["note"]
    if changes:
        # Only while nobody changed the row since we read it: the next poll sees it again otherwise.
        same = Run.objects.filter(pk=row.pk, state=row.state, wish=row.wish)
        return bool(same.update(**changes, tasks_due_until=_due_until(found)))
    return False


def _mirrored(found: DagRun) -> dict[str, Any]:
    return {
        "run_type": found.run_type,
        "triggered_by": found.triggered_by,
        "logical_date": found.logical_date,
        "queued_at": found.queued_at,
        "started_at": found.started_at,
        "ended_at": found.ended_at,
        "versions": found.versions,
        "data_interval_start": found.data_interval_start,
        "data_interval_end": found.data_interval_end,
        "partition_key": found.partition_key,
        "run_after": found.run_after,
        "partition_date": found.partition_date,
    }


def _state(found: DagRun) -> str:
    """Airflow's word; `failed` without an end is what was not begun when its backfill was cancelled."""
    was_begun = found.started_at is not None or found.ended_at is not None
    if found.state == RunState.FAILED and found.run_type == "backfill" and not was_begun:
        return RunState.CANCELLED
    return found.state


def seen_state(row: Run, found: DagRun) -> str:
    """What the row shows of Airflow's: its `failed` is our `cancelled` if we ended the run."""
    state = _state(found)
    if row.state == RunState.CANCELLED and row.wish == Wish.CANCEL:
        return RunState.CANCELLED
    if row.cancelled_at is None:
        return state
    is_settling = timezone.now() - row.cancelled_at < SETTLES_WITHIN
    if state == RunState.FAILED or (is_settling and state in {RunState.QUEUED, RunState.RUNNING}):
        return RunState.CANCELLED
    return state


def gone(row: Run) -> dict[str, Any]:
    """What is written of a run that Airflow does not have: one that ended keeps its state, others are lost.

    Nobody asks for its tasks again: Airflow has none of them, and those that are here stay.
    """
    values: dict[str, Any] = {"gone_at": timezone.now(), "tasks_due_until": None}
    return values if row.has_ended else {**values, "state": RunState.LOST}


def run_is_gone(row: Run) -> None:
    """Airflow has no such run; unless somebody changed the row meanwhile."""
    same = Run.objects.filter(pk=row.pk, state=row.state, wish=Wish.NOTHING, gone_at=None)
    if same.update(**gone(row)):
        publish_runs([row])


def tasks_changed(runs: Collection[tuple[str, str]]) -> None:
    """Tasks of these runs changed, each given as (dag_id, dag_run_id): of those that ended they are due."""
    names = {"dag_id__in": {run[0] for run in runs}, "dag_run_id__in": {run[1] for run in runs}}
    ended = Run.objects.filter(state__in=ENDED, **names).exclude(NOT_THERE)
    ids = [pk for pk, *run in ended.values_list("pk", "dag_id", "dag_run_id") if tuple(run) in runs]
    tasks_are_due(Run.objects.filter(pk__in=ids))


def unended_tasks_are_due() -> None:
    """Tasks at work in runs that ended are due: an earlier release may have left them so."""
    at_work = TaskInstance.objects.exclude(state__in=["", "success", "failed", *NEVER_RAN])
    runs = Run.objects.filter(pk__in=at_work.values("run"), state__in=ENDED).exclude(NOT_THERE)
    tasks_are_due(runs)


def tasks_are_due(runs: QuerySet[Run]) -> int:
    """From now on, or for as long as they were; how many there are."""
    return runs.update(tasks_due_until=Greatest("tasks_due_until", Value(timezone.now())))


def tasks_are_read(runs: Iterable[Run], at: datetime) -> None:
    """The tasks of these rows were asked for at that time; what changed since they were loaded stays due."""
    done = [
        Q(pk=run.pk, tasks_due_until=run.tasks_due_until)
        for run in runs
        if run.tasks_due_until is not None and run.tasks_due_until <= at
    ]
    if done:
        Run.objects.filter(reduce(or_, done)).update(tasks_due_until=None)


def save_tasks(runs: list[Run], found: Sequence[TaskState | Unread]) -> None:
    """The tasks of these runs; those that Airflow no longer has, because the DAG changed, go.

    Those of a run of which it has none stay: somebody deleted the run there.
    """
    ids, by_id = {run.key: run.pk for run in runs}, {run.pk: run for run in runs}
    known = {}
    for row in TaskInstance.objects.filter(run__in=runs):
        row.run = by_id[row.run_id]  # not joined: its settings may be large, and come once for each task
        known[row.key] = row
    tasks, has_gaps = _without_pages("tasks", found)
    touched = loops.TASKS.save(
        tasks,
        partial(_save_tasks, ids, known),
        key=attrgetter("key"),
        about=attrgetter("run_key"),
        is_all=lambda row: not has_gaps and run_key(row.key) in ids,
    )
    listed = {task.key for task in tasks}
    there = {run_key(key) for key in listed} if not has_gaps else set()
    vanished = [row for key, row in known.items() if key not in listed and row.run.key in there]
    with transaction.atomic():
        if vanished:
            TaskInstance.objects.filter(pk__in=[row.pk for row in vanished]).delete()
        for run_id in {*touched, *(row.run_id for row in vanished)}:
            live.publish(f"run:{run_id}", [run_id])


def run_key(task_key: str) -> str:
    """What the run of this task is called: of the names in its key only the run's may hold spaces."""
    return task_key.rsplit(" ", 2)[0]


def _save_tasks(ids: dict[str, int], known: dict[str, TaskInstance], found: Sequence[TaskState]) -> list[int]:
    """Ids of the runs that have new or changed ones."""
    new, touched = [], []
    # One that is tried again while pages turn comes twice, the newer try behind.
    for task in {task.key: task for task in found}.values():
        run_id = ids[task.run_key]
        values = {key: value for key, value in asdict(task).items() if key not in {"dag_id", "dag_run_id"}}
        row = known.get(task.key)
        if row is None:
            new.append(TaskInstance(run_id=run_id, **values))
            touched.append(run_id)
        elif changes := changed_fields(row, values):
            TaskInstance.objects.filter(pk=row.pk).update(**changes, **_try_before(row, task))
            touched.append(run_id)
    TaskInstance.objects.bulk_create(new, ignore_conflicts=True)
    return touched


def save_input_requests(found: Sequence[FoundInput | Unread]) -> None:
    """Add questions that wait; those that Airflow no longer lists are closed, but for answers on their way.

    A worker then reads who answered them there.

    One whose run is not here yet comes with a later poll.
    """
    asked, has_gaps = _without_pages("questions", found)
    touched = loops.INPUTS.save(
        asked, _save_inputs, key=attrgetter("key"), about=attrgetter("run_key"), is_all=not has_gaps
    )
    listed = {one.key for one in asked}
    waiting = InputRequest.objects.filter(closed_at=None, chosen__isnull=True).select_related("run")
    closed = [] if has_gaps else [row for row in waiting if row.key not in listed]
    with transaction.atomic():
        if closed:
            gone = InputRequest.objects.filter(pk__in=[row.pk for row in closed], chosen__isnull=True)
            now = timezone.now()
            gone.update(closed_at=now, next_attempt_at=now, delivery_attempts=0)
        publish_inputs({*touched, *(row.run_id for row in closed)})


def _save_inputs(found: Sequence[FoundInput]) -> list[int]:
    """Ids of the runs with new ones."""
    runs = {
        (run.dag_id, run.dag_run_id): run.pk
        for run in Run.objects.filter(dag_run_id__in={one.dag_run_id for one in found})
    }
    touched = []
    for one in found:
        run_id = runs.get((one.dag_id, one.dag_run_id))
        if run_id is None:
            continue
        values = {name: value for name, value in asdict(one).items() if name not in {"dag_id", "dag_run_id"}}
        place = {name: values.pop(name) for name in ("task_id", "map_index", "asked_at")}
        rows = InputRequest.objects.filter(run_id=run_id, **place)
        rows.filter(try_number=0, closed_at=None).update(try_number=one.try_number)
        row, is_new = rows.get_or_create(
            run_id=run_id,
            **place,
            try_number=one.try_number,
            defaults={**values, "next_attempt_at": None},
        )
        if is_new or _is_reopened(row):
            touched.append(run_id)
    return touched


def _is_reopened(row: InputRequest) -> bool:
    """Whether this one, for which its task waits in Airflow, was closed here: an answer is lost then."""
    lately = timezone.now() - SETTLES_WITHIN
    if row.closed_at is None or (row.chosen is not None and row.closed_at > lately):
        return False
    same = InputRequest.objects.filter(pk=row.pk, closed_at=row.closed_at)
    same = same.filter(Q(next_attempt_at=None) | Q(chosen__isnull=True))  # no answer from here is on its way
    return bool(same.update(closed_at=None, next_attempt_at=None, delivery_error="", **row.unanswered))


def publish_inputs(run_ids: Iterable[int]) -> None:
    """Tell the inbox, and the pages of the runs that ask."""
    ids = sorted(set(run_ids))
    if ids:
        live.publish("inputs", ids)
    for run_id in ids:
        live.publish(f"run:{run_id}", [run_id])


def _try_before(row: TaskInstance, found: TaskState) -> dict[str, Any]:
    """What the row showed of a try that is over, once another one takes its place."""
    was_over = row.has_ended and row.state not in NEVER_RAN
    goes_on = found.try_number > row.try_number or found.state not in TASK_ENDED
    if row.started_at is None or not (was_over and goes_on):
        return {}
    earlier = {
        "try_number": row.try_number,
        "state": "failed" if row.state == "up_for_retry" else row.state,
        "started_at": row.started_at.isoformat(),
        "ended_at": (row.ended_at or row.started_at).isoformat(),
    }
    return {"earlier_tries": [*row.earlier_tries, earlier][-MOST_TRIES:]}


def publish_runs(rows: Iterable[Run]) -> None:
    """Tell the lists and each run's own page."""
    ids = [row.pk for row in rows]
    if ids:
        live.publish("runs", ids)
    for run_id in ids:
        live.publish(f"run:{run_id}", [run_id])
