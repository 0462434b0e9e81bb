"""Parameters, documentation, tasks and code of a pipeline into its row: what its trigger form is made of.

The watcher reads them, of new and changed pipelines at once. Who opens the form or is refused has them read
as well, as Airflow tells of no change to a version that nothing ran yet; once in `FRESH_FOR`, whoever asks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import ConsoleError, InvalidRequest, NotFound, Unavailable
from core.lib.models import SyncState
from pipelines import labels, loops, mirror, queries
from pipelines.airflow_auth import SERVICE
from pipelines.dag_answers import TaskNode
from pipelines.models import Pipeline

if TYPE_CHECKING:
    from pipelines.gateway import AirflowGateway

log = structlog.get_logger(__name__)

T = TypeVar("T")

FRESH_FOR = timedelta(seconds=5)
SOURCES_AT_ONCE = 3  # of a pipeline's versions
DRAWN = ("groups", "role", "edge_labels")  # of a task, what the graph of Airflow's own pages alone tells


def sync(airflow: "AirflowGateway", pipeline: Pipeline) -> bool:
    """Read one pipeline; whether anything of it changed. Raises ConsoleError."""
    try:
        details = airflow.dag_details(pipeline.dag_id)
        tasks = _tasks(airflow, pipeline, details.version, anew=True)
    except NotFound as error:
        words = _(
            "Airflow lists this pipeline but does not find its parameters and tasks: it was deleted a moment "
            "ago, or Airflow's DAG processor could not store it, and its log says why."
        )
        raise NotFound(words, service=SERVICE) from error
    is_changed = mirror.save_details(pipeline, details, tasks)
    _sync_sources(airflow, pipeline, details.version, tasks, is_changed=is_changed)
    return is_changed


def _tasks(
    airflow: "AirflowGateway", pipeline: Pipeline, version: int | None, *, anew: bool
) -> list[TaskNode]:
    """Its tasks with what the graph of Airflow's own pages tells of them: `DRAWN`, and which are mapped.

    anew: that is asked also where version and tasks are as before. A version that nothing ran is rewritten
    in place, and no other answer tells that a task is in another group since.
    """
    tasks = airflow.dag_tasks(pipeline.dag_id)
    told = {task["id"]: task for task in pipeline.tasks}
    is_as_before = version == pipeline.version and told.keys() == {task.id for task in tasks}
    is_told = is_as_before and all(task.get(name) is not None for task in pipeline.tasks for name in DRAWN)
    if is_told and not anew:
        return _as_told(tasks, told)
    role: str | None = ""
    edge_labels: dict[str, str] | None = {}
    try:
        drawn = {node.id: node for node in airflow.drawn_tasks(pipeline.dag_id)}
        return [_as_drawn(task, drawn.get(task.id)) for task in tasks]
    except ConsoleError as error:
        log.info("pipeline.structure_unread", dag_id=pipeline.pk, error=error.message)
        if is_told:
            return _as_told(tasks, told)
        if isinstance(error, Unavailable):  # it is asked again at the next turn
            role, edge_labels = None, None
    groups = {task_id: task.get("groups") for task_id, task in told.items()}
    roles = {task_id: task.get("role") for task_id, task in told.items()}
    try:
        found = airflow.dag_groups(
            pipeline.dag_id, {name for task in tasks for name in labels.may_be_groups(task.id)}
        )
    except Unavailable as error:  # what was told before holds; of other tasks names tell until the next turn
        log.info("pipeline.groups_unread", dag_id=pipeline.pk, error=error.message)
        return [replace(task, groups=groups.get(task.id), role=roles.get(task.id)) for task in tasks]
    inside = {task.id: [name for name in labels.may_be_groups(task.id) if name in found] for task in tasks}
    return [
        replace(task, groups=inside[task.id], role=roles.get(task.id) or role, edge_labels=edge_labels)
        for task in tasks
    ]


def _as_drawn(task: TaskNode, drawn: TaskNode | None) -> TaskNode:
    """The list of tasks calls those of a mapped group not mapped, the graph does."""
    if drawn is None:
        return task
    told = {name: getattr(drawn, name) for name in DRAWN}
    return replace(task, **told, is_mapped=task.is_mapped or drawn.is_mapped)


def _as_told(tasks: Sequence[TaskNode], told: Mapping[str, Any]) -> list[TaskNode]:
    """With what was drawn before."""
    before = {task.id: told[task.id] for task in tasks}
    return [
        replace(
            task,
            **{name: before[task.id][name] for name in DRAWN},
            is_mapped=task.is_mapped or before[task.id]["is_mapped"],
        )
        for task in tasks
    ]


def _sync_sources(
    airflow: "AirflowGateway",
    pipeline: Pipeline,
    version: int | None,
    tasks: list[TaskNode],
    *,
    is_changed: bool,
) -> None:
    if version is None:
        return
    versions = queries.versions_without_source(pipeline.dag_id, version)[:SOURCES_AT_ONCE]
    if is_changed and version not in versions:  # Airflow rewrites one that nothing ran yet
        versions.append(version)
    for each in versions:
        _sync_source(airflow, pipeline, each, tasks if each == version else None)


def _sync_source(
    airflow: "AirflowGateway", pipeline: Pipeline, version: int, tasks: list[TaskNode] | None
) -> None:
    """Of one that Airflow has tidied away nothing is shown. tasks: None where they are to be read."""
    try:
        text = airflow.dag_source(pipeline.dag_id, version)
    except NotFound:
        return
    mirror.save_source(
        pipeline, version, text, _drawn(airflow, pipeline, version) if tasks is None else tasks
    )


def _drawn(airflow: "AirflowGateway", pipeline: Pipeline, version: int) -> list[TaskNode]:
    """The tasks of an earlier version; none where Airflow does not tell. Raises Unavailable."""
    try:
        return airflow.drawn_tasks(pipeline.dag_id, version)
    except Unavailable:
        raise
    except ConsoleError as error:
        log.info("pipeline.graph_unread", dag_id=pipeline.pk, version=version, error=error.message)
        return []


def with_new_versions(airflow: "AirflowGateway", among: QuerySet[Pipeline]) -> list[Pipeline]:
    """Those of which Airflow has another version than their row, the longest unread first.

    Where it cannot tell, they are read in turn.
    """
    try:
        newest = airflow.newest_versions()
    except ConsoleError as error:
        log.info("pipelines.versions_unread", error=error.message)
        return []
    known = among.filter(pk__in=newest).exclude(details_at=None).order_by("details_at", "pk")
    return [pipeline for pipeline in known if pipeline.version != newest[pipeline.pk]]


def freshen(pipeline: Pipeline) -> bool:
    """Read it now, unless somebody did a moment ago or Airflow is away; whether anything of it changed.

    What Airflow does not tell in time stays as it is; that it was slow once is no fault of the pipeline.
    """
    now = timezone.now()
    if pipeline.details_at is None or now - pipeline.details_at < FRESH_FOR or SyncState.stale_since(SERVICE):
        return False
    same = Pipeline.objects.filter(pk=pipeline.pk, gone_at=None, details_at=pipeline.details_at)
    if not same.update(details_at=now):  # somebody else is reading it
        return False
    from pipelines import gateway

    is_changed = False
    try:
        airflow = gateway.connect().hurried()
        told = airflow.dag_details(pipeline.dag_id)
        tasks = _tasks(airflow, pipeline, told.version, anew=False)
        save = partial(mirror.save_details, details=told, tasks=tasks)
        is_changed = any(loops.DETAILS.each([pipeline], save, key=attrgetter("pk"), about=attrgetter("pk")))
        if is_changed:
            _sync_sources(airflow, pipeline, told.version, tasks, is_changed=True)
    except ConsoleError as error:
        log.info("pipeline.not_freshened", dag_id=pipeline.pk, error=error.message)
    return is_changed


def with_fresh(dag_id: str, act: Callable[[], T]) -> T:
    """What `act` gives; where it refuses what it was given, once more if the pipeline has changed."""
    try:
        return act()
    except InvalidRequest:
        if not freshen(queries.pipeline(dag_id)):
            raise
    return act()
