"""The watcher's half: Airflow's DAGs, runs, tasks and watched logs into rows, one poll whoever looks."""

from datetime import timedelta
from functools import partial
from operator import attrgetter

from django.db.models import Q
from django.utils import timezone

from core.lib.errors import ConsoleError, NotFound
from core.lib.poll import poll
from pipelines import asset_events, backfill_mirror, details, gateway, log_copy, loops, mirror, tasks
from pipelines.airflow_pages import PAGE
from pipelines.answers import DagRun
from pipelines.models import ENDED, Bookmark, Pipeline, Run, RunState, TaskLog, Wish

SERVICE = gateway.SERVICE
# Airflow stamps a row when it writes it and commits later: a look back catches what was not visible then.
OVERLAP = timedelta(seconds=15)
NEWEST_RUNS = 1000  # of an Airflow seen for the first time; older history stays there
DETAILS_AT_ONCE = 20
DETAILS_IN_TURN = 2
BOOKMARK_EVERY = timedelta(seconds=10)
AGAIN_AT_ONCE = 20  # of what was set aside


@poll(every_s=10, service=SERVICE)
def sync_pipelines() -> None:
    """DAGs and unreadable files; details of new ones and of new versions at once, of the others in turn."""
    airflow = gateway.connect()
    before = dict(Pipeline.objects.values_list("dag_id", "file"))
    mirror.save_dags(airflow.dags())
    mirror.save_import_faults(airflow.import_faults())
    here = Pipeline.objects.filter(gone_at=None).exclude(pk__in=loops.DETAILS.waiting())
    new = here.filter(Q(details_at=None) | ~Q(dag_id__in=before))[:DETAILS_AT_ONCE]
    changed = details.with_new_versions(airflow, here)[:DETAILS_AT_ONCE]
    in_turn = here.exclude(details_at=None).order_by("details_at", "pk")[:DETAILS_IN_TURN]
    wanted = {pipeline.pk: pipeline for pipeline in [*new, *changed, *in_turn]}
    read, key = partial(details.sync, airflow), attrgetter("pk")
    loops.DETAILS.each(list(wanted.values()), read, key=key, about=key)


@poll(every_s=60, service=SERVICE)
def sync_assets() -> None:
    """Assets, and what makes and takes them."""
    mirror.save_assets(gateway.connect().assets())


@poll(every_s=10, service=SERVICE)
def sync_asset_events() -> None:
    """When assets changed, and what that began."""
    since, limit = asset_events.to_read()
    asset_events.save(gateway.connect().asset_events(since, limit=limit))


@poll(every_s=60, service=SERVICE)
def sync_asset_events_again() -> None:
    """Runs that began later than the events that they took."""
    wanted = asset_events.to_read_again()
    if wanted is not None:
        since, limit = wanted
        asset_events.save(gateway.connect().asset_events(since, limit=limit))


@poll(every_s=2, service=SERVICE)
def sync_runs() -> None:
    """Runs that changed since the last look, and the tasks of those and of all that are under way.

    An idle Airflow costs one request, whatever its history.
    """
    airflow = gateway.connect()
    bookmark = Bookmark.objects.filter(name="runs").first()
    since = bookmark.read_until - OVERLAP if bookmark else None
    found, looked_at = airflow.runs_changed_since(since, limit=NEWEST_RUNS)
    touched = mirror.save_runs([*_set_aside_before(airflow), *found])
    under_way = list(Run.objects.filter(state__in=[RunState.QUEUED, RunState.RUNNING]))
    lately = Run.objects.filter(state__in=ENDED, ended_at__gt=timezone.now() - OVERLAP)
    wanted = {run.pk: run for run in [*touched, *under_way, *lately, *_with_odd_tasks()]}
    _sync_tasks(airflow, list(wanted.values()))
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


def _with_odd_tasks() -> list[Run]:
    """Runs with tasks whose next try has come; tasks of runs that are gone are forgotten."""
    runs = []
    for key in loops.TASKS.due(AGAIN_AT_ONCE):
        dag_id, dag_run_id = [*key.split(" "), ""][:2]
        run = Run.objects.filter(dag_id=dag_id, dag_run_id=dag_run_id).first()
        if run is None:
            loops.TASKS.fits(key)
        else:
            runs.append(run)
    return runs


def _sync_tasks(airflow: gateway.AirflowGateway, runs: list[Run]) -> None:
    for start in range(0, len(runs), PAGE):
        batch = runs[start : start + PAGE]
        mirror.save_tasks(batch, airflow.task_states([(run.dag_id, run.dag_run_id) for run in batch]))


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
        Run.objects.filter(pk=run.pk, state=run.state, wish=Wish.NOTHING).update(state=RunState.LOST)
        mirror.publish_runs([run])


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
