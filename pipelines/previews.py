"""What would be done to the tasks of a run, as Airflow itself tells it before anybody confirms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from core.access import policy
from core.access.models import User
from core.lib.aside import Unread
from core.lib.errors import ConsoleError
from pipelines import marking, queries, run_changes
from pipelines.models import Run
from pipelines.scope import Scope
from pipelines.states import TASK_OVER, TASK_UNDER_WAY
from pipelines.task_answers import TaskState
from pipelines.tasks import airflow_for

MOST_SHOWN = 200


@dataclass(frozen=True)
class Preview:
    """The tasks that would be touched. trouble: why nobody can tell now; one may ask all the same."""

    tasks: list[TaskState] = field(default_factory=list)
    trouble: str = ""

    @property
    def n_under_way(self) -> int:
        """How many have not ended: a clear stops them."""
        return sum(task.state in TASK_UNDER_WAY for task in self.tasks)

    @property
    def has_runs(self) -> bool:
        """Whether they are of several runs."""
        return len({task.run_key for task in self.tasks}) > 1

    @property
    def shown(self) -> list[TaskState]:
        """As many as a page takes."""
        return self.tasks[:MOST_SHOWN]

    @property
    def n_more(self) -> int:
        """How many are not shown."""
        return len(self.tasks) - len(self.shown)


def of_clearing(run: Run, scope: Scope, *, by: User) -> list[TaskState]:
    """What clearing would run again. Raises NotFound, and what the gateway raises."""
    policy.check(by, "pipelines.run", run.pk)
    run_changes.refuse_unfit(run, scope)
    scope = queries.in_full(run, scope)
    queries.tasks_meant(run, scope)
    airflow = airflow_for(by.get_username())
    if scope.only_new:
        return [_new(run, name) for name in airflow.new_tasks(run.dag_id, run.dag_run_id)]
    return _known(airflow.clear_tasks(run.dag_id, run.dag_run_id, scope, dry_run=True))


def of_marking(run: Run, scope: Scope, state: str, *, by: User) -> list[TaskState]:
    """Which tasks would get the state. Raises NotFound, and what the gateway raises.

    Airflow has no dry run for a whole run: of that, the tasks that are not over, but for teardown tasks.
    """
    policy.check(by, "pipelines.run", run.pk)
    run_changes.refuse_unfit_mark(run, scope)
    scope = queries.in_full(run, scope)
    queries.tasks_meant(run, scope)
    airflow = airflow_for(by.get_username())
    if not scope.is_whole_run:
        return _known(marking.would_mark(airflow, run, scope, state))
    there, left = (
        _known(airflow.task_states([(run.dag_id, run.dag_run_id)])),
        queries.teardowns(queries.graph_of_run(run)),
    )
    return [task for task in there if task.state not in TASK_OVER and task.task_id not in left]


def _new(run: Run, task_id: str) -> TaskState:
    return TaskState(run.dag_id, run.dag_run_id, task_id, -1, 0, 0, "", "", None, None, None)


def _known(found: Sequence[TaskState | Unread]) -> list[TaskState]:
    return [task for task in found if isinstance(task, TaskState)]


def for_page(tell: Callable[[], list[TaskState]]) -> Preview:
    """The preview; what is in the way of one becomes its words."""
    try:
        return Preview(tell())
    except ConsoleError as error:
        return Preview(trouble=error.message)
