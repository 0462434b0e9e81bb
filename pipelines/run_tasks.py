"""The tasks of a run as its page shows them: a row for each, and of a mapped one how its instances stand.

A task may be mapped a thousand times: instances are counted where they are kept, and read a page at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any
from urllib.parse import quote

from django.db.models import Case, Count, Max, Min, Q, QuerySet, Value, When
from django.utils import timezone

from core.lib import edge
from pipelines import grid, queries
from pipelines.graph import topological
from pipelines.models import Run, TaskInstance
from pipelines.states import NEVER_RAN, TASK_ENDED

WHAT_TO_READ = (("failed",), ("awaiting_input",), ("running", "up_for_retry"))


@dataclass
class TaskRow:
    """A task of a run. counts: its instances by state, those that need a look first.

    only: the instance of a task that is not mapped. started_at: of the first that ran, last_started_at: of
    the last, ended_at: of the last too, None while one has not ended. longest_s: of one of them.
    """

    task_id: str
    counts: dict[str, int] = field(default_factory=dict)
    operator: str = ""
    started_at: datetime | None = None
    last_started_at: datetime | None = None
    ended_at: datetime | None = None
    longest_s: float | None = None
    only: TaskInstance | None = None
    is_over: bool = False  # its run: what has no end by now gets none

    def __str__(self) -> str:
        return self.task_id if self.only else f"{self.task_id} × {self.n}"

    @property
    def n(self) -> int:
        """Of its instances."""
        return sum(self.counts.values())

    @property
    def state(self) -> str:
        """Of the instance that needs a look most."""
        return grid.worst(self.counts)

    @property
    def has_run(self) -> bool:
        """Whether one of its instances was at work, or is."""
        return self.started_at is not None

    @property
    def has_ended(self) -> bool:
        """Whether none of its instances writes any more."""
        return all(state in TASK_ENDED for state in self.counts)

    @property
    def url_query(self) -> str:
        """What chooses it on the page of its run."""
        return self.only.url_query if self.only else f"unfold={quote(self.task_id)}"

    @property
    def seconds(self) -> float | None:
        """How long it took, or takes so far: of a mapped one from the first start to the last end."""
        if self.only:
            return self.only.seconds
        if self.started_at is None:
            return None
        end = self.ended_at if self.has_ended or self.is_over else timezone.now()
        return None if end is None else max((end - self.started_at).total_seconds(), 0.0)

    @property
    def try_number(self) -> int:
        """0 for one that is mapped: each of its instances has tries of its own."""
        return self.only.try_number if self.only else 0

    @property
    def earlier_tries(self) -> list[dict[str, Any]]:
        """As of `TaskInstance`; none of one that is mapped."""
        return self.only.earlier_tries if self.only else []

    @property
    def cell(self) -> grid.Cell:
        """What the graph draws of it."""
        return grid.Cell(self.counts, self.longest_s)

    def add(self, state: str, n: int, times: Mapping[str, Any]) -> None:
        """n instances more; what never ran has no times, though Airflow gives it some."""
        self.counts[state] = self.counts.get(state, 0) + n
        self.operator = self.operator or times["operator"]
        if not state or state in NEVER_RAN:
            return
        self.started_at = _of(min, self.started_at, times["started_at"])
        self.last_started_at = _of(max, self.last_started_at, times["last_started_at"])
        self.ended_at = _of(max, self.ended_at, times["ended_at"])
        self.longest_s = _of(max, self.longest_s, times["longest_s"])


def _of(which: Any, one: Any, other: Any) -> Any:
    return which((value for value in (one, other) if value is not None), default=None)


def rows(run: Run, graph: Sequence[Mapping[str, Any]] | None = None) -> list[TaskRow]:
    """In the order of the pipeline's graph. graph: where it was read already."""
    found: dict[str, TaskRow] = {}
    for task in run.task_instances.filter(map_index__lt=0):
        row = found[task.task_id] = TaskRow(task.task_id, only=task)
        row.add(task.state, 1, _times(task))
    mapped = run.task_instances.filter(map_index__gte=0).order_by().values("task_id", "state")
    counted = mapped.annotate(
        n=Count("pk"),
        operator=Max("operator"),
        last_started_at=Max("started_at"),
        longest_s=Max("duration_s"),
        first_started_at=Min("started_at"),
        last_ended_at=Max("ended_at"),
    )
    for one in counted:
        row = found.setdefault(one["task_id"], TaskRow(one["task_id"]))
        row.only = None
        times = {**one, "started_at": one["first_started_at"], "ended_at": one["last_ended_at"]}
        row.add(one["state"], one["n"], times)
    for row in found.values():
        row.counts = {state: row.counts[state] for state in sorted(row.counts, key=grid.place)}
        row.is_over = run.has_ended
        if not (row.has_ended or row.is_over):
            row.ended_at = None
    nodes = queries.graph_of_run(run) if graph is None else graph
    order = {task_id: place for place, task_id in enumerate(topological(nodes))}
    return sorted(found.values(), key=lambda row: (order.get(row.task_id, len(order)), row.task_id))


def _times(task: TaskInstance) -> dict[str, Any]:
    return {
        "operator": task.operator,
        "started_at": task.started_at,
        "last_started_at": task.started_at,
        "ended_at": task.ended_at,
        "longest_s": task.duration_s,
    }


def instances(run: Run, task_id: str, *, state: str | None = None, text: str = "") -> QuerySet[TaskInstance]:
    """Of a task, those that need a look first; of one state where it is given.

    text: those with this index, and those in whose name it is.
    """
    found = run.task_instances.filter(task_id=task_id)
    if text:
        index = edge.whole_or(None, text, most=2**31 - 1)
        found = found.filter(Q(map_name__icontains=text) | (Q() if index is None else Q(map_index=index)))
    if state is not None:
        found = found.filter(state=state)
    places = [When(state=name, then=Value(grid.place(name))) for name in grid.WORST_FIRST]
    return found.order_by(Case(*places, default=Value(grid.UNKNOWN)), "map_index")


def named(run: Run, task_id: str, map_index: int | None) -> TaskInstance | None:
    """This instance of the task; without it, the one that needs a look most; None for an unknown task."""
    found = run.task_instances.filter(task_id=task_id)
    exact = None if map_index is None else found.filter(map_index=map_index).first()
    return exact or instances(run, task_id).first()


def to_read(run: Run, found: Sequence[TaskRow]) -> TaskInstance | None:
    """What a reader looks for: failed, asking, running, latest started. found: the run's rows."""
    for states in WHAT_TO_READ:
        row = next((row for row in found if not row.counts.keys().isdisjoint(states)), None)
        if row is not None:
            return row.only or instances(run, row.task_id).filter(state__in=states).first()
    started = [row for row in found if row.last_started_at is not None]
    # An operator that does nothing, such as one where branches join, ends as it starts and has no log.
    started = [row for row in started if row.longest_s] or started
    if not started:
        return next((row.only or instances(run, row.task_id).first() for row in found), None)
    last = max(started, key=attrgetter("last_started_at"))
    ran = run.task_instances.filter(task_id=last.task_id, started_at=last.last_started_at)
    return last.only or ran.exclude(state__in=["", *NEVER_RAN]).order_by("map_index").first()
