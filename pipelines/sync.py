"""The watcher's half: Airflow's DAGs, runs, tasks and watched logs into rows, one poll whoever looks."""

import random
from datetime import timedelta
from functools import partial
from operator import attrgetter

from django.db.models import Q, QuerySet
from django.utils import timezone

from core.lib.errors import ConsoleError, NotFound
from core.lib.poll import poll
from pipelines import (
    asset_events,
    asset_waits,
    backfill_mirror,
    details,
    gateway,
    log_copy,
    loops,
    mirror,
    run_list,
    tasks,
)
from pipelines.airflow_auth import SERVICE
from pipelines.airflow_pages import BROKEN_AFTER, PAGE, Failed
from pipelines.mirror import OVERLAP
from pipelines.models import Bookmark, Pipeline, Run, RunState, TaskLog, Wish
from pipelines.run_answers import DagRun
from pipelines.run_calls import SHORTEST_ASKED
from pipelines.states import TIMED

NEWEST_RUNS = 1000  # of an Airflow seen for the first time; older history stays there
DETAILS_AT_ONCE = 20
DETAILS_IN_TURN = 2
BOOKMARK_EVERY = timedelta(seconds=10)
DUE_AT_ONCE = 2 * PAGE  # runs that do not run: those that do are not to wait for all of a long history
LOOKED_FOR_AT_ONCE = 50  # of runs that may have been deleted: a question or two
SHORT_AT_ONCE = 5  # of those with a short id
AGAIN_AT_ONCE = 20  # of what was set aside
LONGEST_LOOK_BACK = timedelta(hours=1)  # for marks: older ones show when something else changes


@poll(every_s=10, service=SERVICE)
def sync_pipelines() -> None:
    """DAGs and unreadable files; details of new ones and of new versions at once, of the others in turn."""
    airflow = gateway.connect()
    before = dict(Pipeline.objects.values_list("dag_id", "file"))
    mirror.save_dags(airflow.dags())
    mirror.save_import_faults(airflow.import_faults())
    here = Pipeline.objects.filter(gone_at=None)
    listed = set(here.values_list("pk", flat=True))
    here = here.exclude(pk__in=loops.DETAILS.waiting())
    new = here.filter(Q(details_at=None) | ~Q(dag_id__in=before))[:DETAILS_AT_ONCE]
    changed = details.with_new_versions(airflow, here)[:DETAILS_AT_ONCE]
    in_turn = here.exclude(details_at=None).order_by("details_at", "pk")[:DETAILS_IN_TURN]
    wanted = {pipeline.pk: pipeline for pipeline in [*new, *changed, *in_turn]}
    read, key = partial(details.sync, airflow), attrgetter("pk")
    loops.DETAILS.each(
        list(wanted.values()), read, key=key, about=key, is_all=lambda row: row.key not in listed
    )


@poll(every_s=60, service=SERVICE)
def sync_assets() -> None:
    """Assets, and what makes and takes them."""
    mirror.save_assets(gateway.connect().assets())


@poll(every_s=10, service=SERVICE)
def sync_asset_events() -> None:
    """When assets changed, what that began, and what pipelines still wait for.

    Of each run that assets began Airflow is asked once: that a run took an event, hours later perhaps, makes
    the event no newer. What a pipeline waits for is asked for after an event of its assets, and in turn.
    """
    airflow = gateway.connect()
    since, limit = asset_events.to_read()
    asset_events.save(airflow.asset_events(since, limit=limit))
    read, key = partial(_read_taken, airflow), attrgetter("pk")
    loops.TAKEN_EVENTS.each(asset_events.untaken(), read, key=key, about=attrgetter("key"))
    loops.ASSET_QUEUES.each(asset_waits.to_ask(), partial(_read_queue, airflow), key=key, about=key)


def _read_taken(airflow: gateway.AirflowGateway, run: Run) -> None:
    try:
        found = airflow.events_taken(run.dag_id, run.dag_run_id)
    except NotFound:  # deleted since: the look for lost runs settles that
        found = []
    asset_events.save_taken(run, found)


def _read_queue(airflow: gateway.AirflowGateway, pipeline: Pipeline) -> None:
    try:
        found = airflow.queued_assets(pipeline.pk)
    except NotFound:
        found = []
    asset_waits.save_queue(pipeline, found)


# Of a service of its own: Airflow promises nobody this call, and the mirror is current without it.
@poll(every_s=30, service=f"{SERVICE}-partitions")
def sync_partitions() -> None:
    """Partitions that wait for assets, of all pipelines at once."""
    if asset_waits.has_partitions():
        asset_waits.save_partitions(gateway.connect().waiting_partitions())


@poll(every_s=2, service=SERVICE)
def sync_runs() -> None:
    """Runs that changed since the last look. An idle Airflow costs one request, whatever its history."""
    airflow = gateway.connect()
    bookmark = Bookmark.objects.filter(name="runs").first()
    since = bookmark.read_until - OVERLAP if bookmark else None
    found, looked_at = airflow.runs_changed_since(since, limit=NEWEST_RUNS)
    mirror.save_runs([*_set_aside_before(airflow), *found])
    # Also back, should Airflow's clock have been set back: it would tell of nothing until it is there again.
    if bookmark is None or abs(looked_at - bookmark.read_until) >= BOOKMARK_EVERY:
        Bookmark.objects.update_or_create(name="runs", defaults={"read_until": looked_at})


def _set_aside_before(airflow: gateway.AirflowGateway) -> list[DagRun]:
    """Runs whose next try has come: Airflow itself sends only what changed."""
    found = []
    for key in loops.RUNS.due(AGAIN_AT_ONCE):
        dag_id, _space, dag_run_id = key.partition(" ")
        try:
            found.append(airflow.run(dag_id, dag_run_id))
        except NotFound:
            loops.RUNS.fits(key)
        except ConsoleError as error:
            loops.RUNS.set_aside(key, error, about=dag_id)
    return found


@poll(every_s=2, service=SERVICE)
def sync_tasks() -> None:
    """Tasks of the runs that are running, and of those that something happened to, the longest due first.

    Airflow changes nothing of a queued run.
    """
    airflow = gateway.connect()
    _odd_tasks_are_due()
    runs = Run.objects.only("dag_id", "dag_run_id", "tasks_due_until")
    running = runs.filter(state=RunState.RUNNING)
    due = runs.exclude(state=RunState.RUNNING).exclude(tasks_due_until=None)
    set_aside = dict(loops.TASK_LISTS.rows().exclude(key="").values_list("key", "next_try_at"))
    now = timezone.now()
    kept_back = {int(key) for key, next_try_at in set_aside.items() if next_try_at > now}
    due = due.exclude(pk__in=kept_back).order_by("tasks_due_until", "pk")
    wanted = [run for run in running if run.pk not in kept_back] + list(due[:DUE_AT_ONCE])
    for start in range(0, len(wanted), PAGE):
        batch = wanted[start : start + PAGE]
        try:
            _read_tasks(airflow, batch)
        except Failed:
            _read_apart(airflow, batch)
        else:
            if fit := set_aside.keys() & {str(run.pk) for run in batch}:
                loops.TASK_LISTS.fits(*fit)


def _read_tasks(airflow: gateway.AirflowGateway, runs: list[Run]) -> None:
    asked_at = timezone.now()
    mirror.save_tasks(runs, airflow.task_states([(run.dag_id, run.dag_run_id) for run in runs]))
    mirror.tasks_are_read(runs, asked_at)


def _read_apart(airflow: gateway.AirflowGateway, runs: list[Run]) -> None:
    """Run by run: one whose tasks Airflow fails to list keeps no other from being read.

    Raises Failed where it does so for the first three: then it may fail at all.
    """
    n_read = n_failed = 0
    for run in runs:
        try:
            _read_tasks(airflow, [run])
        except Failed as error:
            n_failed += 1
            if n_failed == BROKEN_AFTER and not n_read:
                raise
            loops.TASK_LISTS.set_aside(run.pk, error, about=run.key)
        else:
            n_read += 1
            loops.TASK_LISTS.fits(run.pk)


def _odd_tasks_are_due() -> None:
    """Of runs with tasks whose next try has come; tasks of runs that are gone are forgotten."""
    for key in loops.TASKS.due(AGAIN_AT_ONCE):
        dag_id, _space, dag_run_id = mirror.run_key(key).partition(" ")
        run = Run.objects.filter(dag_id=dag_id, dag_run_id=dag_run_id)
        if not mirror.tasks_are_due(run):
            loops.TASKS.fits(key)


# Of a service of its own: the mirror is current without it.
@poll(every_s=30, service=f"{SERVICE}-marks")
def sync_marked_tasks() -> None:
    """Ended runs of which somebody marked a task in Airflow's own pages: that leaves the run's row as it is.

    Airflow has no index on when a task changed and looks through all of them: not to be asked more often.
    """
    bookmark, now = Bookmark.objects.filter(name="tasks").first(), timezone.now()
    since = max(bookmark.read_until if bookmark else now, now - LONGEST_LOOK_BACK) - OVERLAP
    changed, looked_at, is_whole = gateway.connect().runs_of_changed_tasks(since)
    mirror.tasks_changed(changed)
    if bookmark is None:
        mirror.unended_tasks_are_due()
    if is_whole:  # what lay in a gap is looked for again
        Bookmark.objects.update_or_create(name="tasks", defaults={"read_until": looked_at})


@poll(every_s=5, service=SERVICE)
def sync_inputs() -> None:
    """Questions that tasks ask people and wait for."""
    mirror.save_input_requests(gateway.connect().input_requests())


@poll(every_s=5, service=SERVICE)
def sync_backfills() -> None:
    """Backfills of the pipelines that seem to have one under way, and of one other in turn."""
    loops.BACKFILL_LISTS.each(
        backfill_mirror.to_look_at(), partial(_sync_backfills, gateway.connect()), key=str, about=str
    )


def _sync_backfills(airflow: gateway.AirflowGateway, dag_id: str) -> None:
    backfill_mirror.save(dag_id, airflow.backfills(dag_id))


@poll(every_s=20, service=SERVICE)
def sync_lost_runs() -> None:
    """Runs that seem to be under way here and not in Airflow: settled meanwhile, or deleted by somebody."""
    rows = list(Run.objects.filter(state__in=[RunState.QUEUED, RunState.RUNNING], wish=Wish.NOTHING))
    if not rows:
        return
    airflow = gateway.connect()
    under_way = airflow.runs_under_way()
    lost = [run for run in rows if (run.dag_id, run.dag_run_id) not in under_way]
    loops.LOST_RUNS.each(lost, partial(_settle_lost, airflow), key=attrgetter("key"), about=attrgetter("key"))


def _settle_lost(airflow: gateway.AirflowGateway, run: Run) -> None:
    try:
        mirror.save_runs([airflow.run(run.dag_id, run.dag_run_id)])
    except NotFound:
        mirror.run_is_gone(run)


@poll(every_s=60, service=f"{SERVICE}-deleted")
def sync_deleted_runs() -> None:
    """Runs that ended and that somebody deleted in Airflow since, which tells of no such thing.

    In turn, a few in each round: of the newest, and of the failures that nothing made good, however old.
    """
    ended = Run.objects.filter(state__in=TIMED, wish=Wish.NOTHING, gone_at=None).defer("conf", "note")
    failures = run_list.narrowed(run_list.Wanted(is_unmended=True)).filter(wish=Wish.NOTHING)
    newest = _in_turn(ended.order_by("-pk"), most=NEWEST_RUNS)
    rows = {run.key: run for run in [*newest, *_in_turn(failures.defer("conf", "note"), most=NEWEST_RUNS)]}
    again = loops.DELETED_RUNS.due(AGAIN_AT_ONCE)
    for dag_id, _space, dag_run_id in (key.partition(" ") for key in again):
        rows |= {run.key: run for run in ended.filter(dag_id=dag_id, dag_run_id=dag_run_id)}
    loops.DELETED_RUNS.fits(*(key for key in again if key not in rows))
    if not rows:
        return
    airflow = gateway.connect()
    there = airflow.runs_there([(run.dag_id, run.dag_run_id) for run in rows.values()])
    missing = [run for run in rows.values() if (run.dag_id, run.dag_run_id) not in there]
    loops.DELETED_RUNS.fits(*(key for key in again if key in rows and rows[key] not in missing))
    loops.DELETED_RUNS.each(
        _asked_singly(missing), partial(_settle_lost, airflow), key=attrgetter("key"), about=attrgetter("key")
    )


def _asked_singly(missing: list[Run]) -> list[Run]:
    """Of those whose ids are too short to be listed, a few: each costs Airflow a question, every minute."""
    short = [run for run in missing if len(run.dag_run_id) < SHORTEST_ASKED]
    few = random.sample(short, min(len(short), SHORT_AT_ONCE))  # no secret: each has its turn in time
    return [run for run in missing if run not in short] + few


def _in_turn(runs: QuerySet[Run], *, most: int) -> list[Run]:
    """LOOKED_FOR_AT_ONCE of the first `most` runs, other ones each minute by the clock: no place is kept."""
    n_pages = -(-runs[:most].count() // LOOKED_FOR_AT_ONCE) or 1
    start = int(timezone.now().timestamp() // 60) % n_pages * LOOKED_FOR_AT_ONCE
    return list(runs[start : min(start + LOOKED_FOR_AT_ONCE, most)])


@poll(every_s=1, service=SERVICE)
def sync_logs() -> None:
    """New lines of the logs that somebody watches. Nobody watching costs one call to Redis."""
    watched = log_copy.watched()
    if watched:
        loops.LOGS.each(watched, _sync_log, key=str)


def _sync_log(log: TaskLog) -> None:
    if not log_copy.has_ended(log):
        log_copy.follow(log)
    elif log_copy.want_copy(log):
        tasks.copy_log.delay_on_commit(str(log.pk))


@poll(every_s=600, service=SERVICE)
def sync_log_room() -> None:
    """Copies that nobody has read for a day go."""
    log_copy.remove_unread()
