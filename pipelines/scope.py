"""Which tasks of a run somebody means: all, one, several or a group, and those beside them. No Django."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

MOST_NAMED = 100  # tasks, one by one
_MOST_SAID = 3


class OneTask(Protocol):
    """A task instance, of ours or of Airflow's answer."""

    @property
    def task_id(self) -> str: ...
    @property
    def map_index(self) -> int: ...


def place_of(task: OneTask) -> str:
    """Which of its run it is, for a row."""
    return f"{task.task_id} {task.map_index}"


def instance_name(task_id: str, map_index: int, map_name: str) -> str:
    """A task of a run as pages write it: `load`, `load[3]`, `load[3] Lyon`."""
    return task_id if map_index < 0 else f"{task_id}[{map_index}] {map_name}".rstrip()


@dataclass(frozen=True)
class Scope:
    """task_id: empty for the whole run, and where several are named. map_index: None for all instances of a
    mapped task. group: a task group. tasks: several, as (task_id, map_index) each; of a group those that the
    run has.

    past, future: in the runs of earlier or later logical dates, too. only_new: of the whole run, tasks that a
    newer version of the pipeline has and the run has not. prevent_running: refuse where one is running, which
    would be stopped else. note: what to write on the tasks, or on the run where it is cleared whole.
    only_failed: of those, the ones that failed or that a failure kept from running.
    run_on_latest_version: whether what is cleared runs the newest version of the code, not the one that it
    ran before; None as the pipeline's author or Airflow's settings have it.
    """

    task_id: str = ""
    map_index: int | None = None
    upstream: bool = False
    downstream: bool = False
    only_failed: bool = False
    run_on_latest_version: bool | None = None
    group: str = ""
    tasks: tuple[tuple[str, int | None], ...] = ()
    past: bool = False
    future: bool = False
    only_new: bool = False
    prevent_running: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tasks", tuple((task_id, index) for task_id, index in self.tasks))

    @property
    def is_whole_run(self) -> bool:
        """Whether no task is named."""
        return not (self.task_id or self.group or self.tasks)

    @property
    def is_of_others(self) -> bool:
        """Whether it reaches tasks that are not named: those beside them, or of other runs."""
        return self.upstream or self.downstream or self.past or self.future

    @property
    def named(self) -> tuple[tuple[str, int | None], ...]:
        """The tasks, one or several; none for the whole run."""
        return ((self.task_id, self.map_index),) if self.task_id else self.tasks

    @property
    def each(self) -> list["Scope"]:
        """Several tasks one by one; a single one, a group and the whole run as they are."""
        if self.group or not self.tasks:
            return [self]
        return [replace(self, task_id=name, map_index=index, tasks=()) for name, index in self.tasks]

    def holds(self, task_id: str, map_index: int) -> bool:
        """Whether this one is named; True for each of the whole run."""
        return self.is_whole_run or not {(task_id, None), (task_id, map_index)}.isdisjoint(self.named)

    @property
    def task(self) -> str:
        """What is named as pages write it."""
        if self.group:
            return f"{self.group}.*"
        words = [name if index in (None, -1) else f"{name}[{index}]" for name, index in self.named]
        return ", ".join(words[:_MOST_SAID]) + (", …" if len(words) > _MOST_SAID else "")

    def as_json(self) -> dict[str, Any]:
        """For a row; `Scope(**…)` reads it again."""
        return asdict(self)
