"""What pages and REST read of pipelines and runs; nothing here asks Airflow."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from statistics import median
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import Avg, Count, Func, IntegerField, Max, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from core.access.models import User
from core.lib.errors import NotFound
from pipelines import coming, conditions, grid, labels, listing, run_list
from pipelines.graph import topological
from pipelines.models import Asset, InputRequest, Pipeline, PipelineSource, Run, TaskInstance
from pipelines.scope import Scope
from pipelines.states import ENDED, UNDER_WAY, RunState

ALL_RUNS = run_list.Wanted()
GRID = 50
TIMED, SLOWEST = 100, 20
SAME_DURATION = 0.005  # a difference that a per cent with one decimal need not show
MOST_FAILURES = 3
MOST_COUNTED = 99
OTHER, BACKFILL = "other", "backfill"


def pipeline(dag_id: str) -> Pipeline:
    """Raises NotFound."""
    found = Pipeline.objects.filter(pk=dag_id).first()
    if found is None:
        raise _no_pipeline(dag_id)
    return found


def check_known(dag_id: str) -> None:
    """Whether there is such a pipeline, without its parameters and tasks. Raises NotFound."""
    if not Pipeline.objects.filter(pk=dag_id).exists():
        raise _no_pipeline(dag_id)


def _no_pipeline(dag_id: str) -> NotFound:
    return NotFound(_("There is no pipeline “%(dag_id)s”.") % {"dag_id": dag_id})


def runs(
    wanted: run_list.Wanted = ALL_RUNS, *, dag_id: str = "", ids: list[int] | None = None
) -> QuerySet[Run]:
    """Those that are wanted, newest first unless it says otherwise; of one pipeline, or only these `ids`."""
    found = run_list.narrowed(wanted, dag_id=dag_id)
    return found.filter(pk__in=ids) if ids else found


def open_states() -> dict[str, int]:
    """How many runs are in each state that is not an end; those of a newer Airflow's states as `other`."""
    return _by_state(Run.objects.exclude(state__in=ENDED), UNDER_WAY)


def ended_since(moment: datetime) -> dict[str, int]:
    """How many runs have come to each end since then."""
    return _by_state(Run.objects.filter(state__in=ENDED, ended_at__gte=moment), ENDED)


def _by_state(found: QuerySet[Run], known: Iterable[str]) -> dict[str, int]:
    numbers_of = {**dict.fromkeys(map(str, known), 0)}
    for state, n in found.order_by().values_list("state").annotate(n=Count("pk")):
        name = state if state in numbers_of else OTHER
        numbers_of[name] = numbers_of.get(name, 0) + n
    return numbers_of


def recent_runs(user: User, *, limit: int = 8) -> list[Run]:
    """The user's own unmended failures, then the newest runs of all pipelines."""
    failures = list(own_failures(user)[:MOST_FAILURES])
    others = runs().exclude(pk__in=[run.pk for run in failures])[: limit - len(failures)]
    return [*failures, *others]


def own_failures(user: User) -> QuerySet[Run]:
    """Failed runs that the user asked for and that nothing made good since, however old."""
    return runs(run_list.Wanted(by=user, is_unmended=True))


def n_own_failures(user: User) -> int:
    """How many, up to one more than MOST_COUNTED."""
    return own_failures(user).order_by()[: MOST_COUNTED + 1].count()


def run(run_id: int) -> Run:
    """Raises NotFound."""
    found = Run.objects.select_related("requested_by", "wished_by").filter(pk=run_id).first()
    if found is None:
        raise NotFound(_("There is no run %(id)s.") % {"id": run_id})
    return found


def runs_with_id(dag_run_id: str, dag_id: str = "") -> list[Run]:
    """Those that Airflow calls so: scheduled runs of several pipelines share one. Raises NotFound.

    dag_id: the pipeline of the one that is looked for, where that is known.
    """
    if not dag_run_id:
        raise NotFound(_("Say which run: its id is missing."))
    rows = Run.objects.filter(dag_run_id=dag_run_id)
    found = list((rows.filter(dag_id=dag_id) if dag_id else rows)[:2])
    if not found:
        raise NotFound(_("There is no run “%(id)s” here.") % {"id": dag_run_id[:250]})
    return found


def grid_runs(dag_id: str) -> list[Run]:
    """The runs of the grid, oldest first."""
    newest = Run.objects.filter(dag_id=dag_id).order_by("-created_at", "-pk").defer("conf", "note")
    return list(newest[:GRID])[::-1]


def cells(found: Sequence[Run]) -> dict[int, dict[str, grid.Cell]]:
    """What became of each task of these runs: counted where they are kept, however often a task is mapped."""
    instances = TaskInstance.objects.filter(run__in=[run.pk for run in found]).order_by()
    counted = instances.values_list("run_id", "task_id", "state").annotate(Count("pk"), Max("duration_s"))
    of_runs: dict[int, dict[str, grid.Cell]] = defaultdict(lambda: defaultdict(grid.Cell))
    for run_id, task_id, state, n, seconds in counted:
        of_runs[run_id][task_id].add(state, n, seconds)
    return of_runs


def median_duration_s(dag_id: str) -> float | None:
    """Of the last 50 successful runs; None before the first."""
    ended = Run.objects.filter(dag_id=dag_id, state=RunState.SUCCESS).exclude(started_at=None)
    latest = ended.exclude(ended_at=None).order_by("-created_at")
    times = latest.values_list("started_at", "ended_at")[:50]
    seconds = [max((end - start).total_seconds(), 0.0) for start, end in times if start and end]
    return median(seconds) if seconds else None


def against_median(found: Run, median_s: float | None) -> float | None:
    """How much longer (or, below 0, shorter) it took, or takes so far, as a share of the median.

    None where there is nothing to compare; while it runs only once it is over the median.
    """
    if not median_s or found.duration is None:
        return None
    share = found.duration.total_seconds() / median_s - 1
    is_on_its_way = not found.has_ended and share < 0
    return None if is_on_its_way or abs(share) < SAME_DURATION else share


def inputs(*, is_open: bool = True) -> QuerySet[InputRequest]:
    """Questions of tasks: those that wait, the longest first, or those that are over, the latest first."""
    found = InputRequest.objects.select_related("run", "answered_by")
    if is_open:
        return found.filter(closed_at=None).order_by("asked_at", "pk")
    return found.exclude(closed_at=None).order_by("-closed_at", "-pk")


def input_request(input_id: int) -> InputRequest:
    """Raises NotFound."""
    found = InputRequest.objects.select_related("run", "answered_by").filter(pk=input_id).first()
    if found is None:
        raise NotFound(_("There is no question %(id)s.") % {"id": input_id})
    return found


def open_inputs(found: Run, user: User) -> list[tuple[InputRequest, bool]]:
    """What its tasks ask people and wait for, each with whether they ask this person."""
    rows = found.input_requests.filter(closed_at=None).select_related("run")
    return [(row, row.asks(user.get_username())) for row in rows]


def timed_runs(dag_id: str) -> list[Run]:
    """The newest runs that have begun, oldest first."""
    begun = Run.objects.filter(dag_id=dag_id).exclude(started_at=None).defer("conf", "note")
    return list(begun.order_by("-created_at", "-pk")[:TIMED])[::-1]


def slowest_tasks(dag_id: str) -> list[dict[str, Any]]:
    """{"task_id", "mean_s", "longest_s", "n"} of the tasks of its newest runs, those that take most first."""
    newest = Run.objects.filter(dag_id=dag_id).order_by("-created_at", "-pk").values("pk")[:GRID]
    ended = TaskInstance.objects.filter(run__in=list(newest.values_list("pk", flat=True)), state="success")
    timed = ended.exclude(duration_s=None).order_by().values("task_id")
    figures = timed.annotate(mean_s=Avg("duration_s"), longest_s=Max("duration_s"), n=Count("pk"))
    return [dict(one) for one in figures.order_by("-mean_s")[:SLOWEST]]


def source(dag_id: str, version: int | None) -> tuple[PipelineSource | None, list[int]]:
    """The file of this version, else of the newest one known; and all versions that are known."""
    known = PipelineSource.objects.filter(dag_id=dag_id)
    versions = list(known.values_list("version", flat=True))
    chosen = version if version in versions else max(versions, default=None)
    return (None if chosen is None else known.filter(version=chosen).first()), versions


def source_before(found: PipelineSource) -> PipelineSource | None:
    """The one known that came before it."""
    return PipelineSource.objects.filter(dag_id=found.dag_id, version__lt=found.version).first()


def versions_without_source(dag_id: str, newest: int) -> list[int]:
    """Versions whose file or graph is not here, of the newest and those its last runs ran; newest first."""
    ran = versions_of_last_runs(dag_id)
    read = PipelineSource.objects.filter(dag_id=dag_id, tasks__isnull=False)
    known = read.values_list("version", flat=True)
    return sorted({newest, *ran} - set(known), reverse=True)


def versions_of_last_runs(dag_id: str) -> set[int]:
    """Versions of its code that the runs of the grid ran."""
    runs = Run.objects.filter(dag_id=dag_id).order_by("-created_at", "-pk")
    return {version for versions in runs.values_list("versions", flat=True)[:GRID] for version in versions}


def next_times(found: Pipeline) -> list[datetime]:
    """Its next runs, at most five; none while its switch is off."""
    if found.shows_paused or found.gone_at is not None:
        return []
    return coming.next_times(
        found.schedule,
        found.next_run_at,
        found.timezone or "UTC",
        logical=found.next_logical_at,
        until=found.ends_at,
    )


def assets(*, producer: str = "", consumer: str = "", text: str = "") -> QuerySet[Asset]:
    """By name: those that the pipeline makes, that it takes, or that a text names."""
    found = Asset.objects.all()
    if producer:
        found = found.filter(producers__contains=[{"dag_id": producer}])
    if consumer:
        found = found.filter(Q(consumers__contains=[{"dag_id": consumer}]) | _of_aliases(consumer))
    return found.filter(Q(name__icontains=text) | Q(uri__icontains=text)) if text else found


def _of_aliases(dag_id: str) -> Q:
    """Assets that tasks made under an alias which starts the pipeline: of these Airflow lists it nowhere."""
    expression = Pipeline.objects.filter(pk=dag_id).values_list("asset_expression", flat=True).first()
    fits = Q(pk__in=[])
    for leaf in conditions.leaves(expression):
        if leaf.kind == "alias":
            fits |= Q(aliases__contains=[leaf.name])
    return fits


def task_instances(found: Run) -> QuerySet[TaskInstance]:
    """With their `place` in the order of the graph that ran; None for those that it does not have."""
    ids = Value(topological(graph_of_run(found)), output_field=ArrayField(TextField()))
    place = Func(ids, Cast("task_id", TextField()), function="array_position", output_field=IntegerField())
    return found.task_instances.annotate(place=place)


def graph_of(dag_id: str) -> list[dict[str, Any]]:
    """The pipeline's tasks with what follows each; empty when the pipeline is not known."""
    return Pipeline.objects.filter(pk=dag_id).values_list("tasks", flat=True).first() or []


def graph_of_run(found: Run) -> list[dict[str, Any]]:
    """The tasks of the version that the run ran last; of the newest one where that is not known.

    The newest is read anew in turn, and the others are as they were read once.
    """
    newest = Pipeline.objects.filter(pk=found.dag_id).values("version", "tasks").first()
    if found.versions and (newest is None or newest["version"] != found.versions[-1]):
        ran = PipelineSource.objects.filter(dag_id=found.dag_id, version=found.versions[-1])
        if tasks := ran.values_list("tasks", flat=True).first():
            return list(tasks)
    return list(newest["tasks"] or []) if newest else []


def teardowns(nodes: Iterable[dict[str, Any]]) -> set[str]:
    """Which of these tasks clean up after others: Airflow lets them run when somebody ends the run."""
    return {node["id"] for node in nodes if node.get("role") == "teardown"}


def task_instance(found: Run, task_id: str, map_index: int = -1) -> TaskInstance:
    """Raises NotFound."""
    task = found.task_instances.filter(task_id=task_id, map_index=map_index).first()
    if task is None:
        message = _("Run %(run)s has no task “%(task)s” (map index %(index)s).")
        raise NotFound(message % {"run": found.pk, "task": task_id, "index": map_index})
    return task


def in_full(found: Run, scope: Scope) -> Scope:
    """With the tasks of its group, as the run has them. Raises NotFound."""
    if not scope.group:
        return scope
    there = set(found.task_instances.order_by().values_list("task_id", flat=True).distinct())
    known = labels.groups_in(graph_of_run(found), there)
    ids = sorted(task_id for task_id in there if scope.group in labels.groups_of(task_id, known))
    if not ids:
        message = _("Run %(run)s has no task group “%(group)s”.")
        raise NotFound(message % {"run": found.pk, "group": scope.group})
    return replace(scope, tasks=tuple((task_id, None) for task_id in ids))


def tasks_meant(found: Run, scope: Scope) -> list[TaskInstance]:
    """The rows of the tasks that are named; none for the whole run. Raises NotFound."""
    named = in_full(found, scope).named
    rows = found.task_instances.filter(task_id__in={task_id for task_id, _index in named})
    meant = [row for row in rows if named and not _names(row).isdisjoint(named)]
    there = {name for row in meant for name in _names(row)}
    for task_id, map_index in named:
        if (task_id, map_index) not in there:
            task_instance(found, task_id, -1 if map_index is None else map_index)
    return meant


def _names(row: TaskInstance) -> set[tuple[str, int | None]]:
    return {(row.task_id, None), (row.task_id, row.map_index)}


def is_paused(dag_id: str) -> bool:
    """Whether the pipeline's queued runs have to wait, as its switch was left: Airflow may not know yet."""
    return Pipeline.objects.alias(shown=listing.SHOWS_PAUSED).filter(pk=dag_id, shown=True).exists()


def n_in_the_way(found: Run) -> int:
    """How many runs of its backfill, else of its pipeline, are running, if as many as may be at once; else 0.

    Of a pipeline those of backfills do not count, which have limits of their own.
    """
    running = Run.objects.filter(dag_id=found.dag_id, state=RunState.RUNNING)
    most: int | None
    if found.backfill is not None:
        most = found.backfill.max_active_runs
        running = running.filter(backfill=found.backfill)
    elif found.run_type == BACKFILL:  # of one that is not known, nor its limit
        return 0
    else:
        most = Pipeline.objects.filter(pk=found.dag_id).values_list("max_active_runs", flat=True).first()
        running = running.exclude(run_type=BACKFILL)
    n = running.count() if most else 0
    return n if most and n >= most else 0
