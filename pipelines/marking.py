"""Tasks that Airflow marks one by one: how far that came, what it refuses, and when to stop."""

import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING

import structlog
from django.utils.translation import gettext as _

from core.lib.aside import Unread
from core.lib.errors import Conflict, InvalidRequest, NotFound, Unavailable
from pipelines.airflow_auth import SERVICE
from pipelines.models import Run
from pipelines.scope import Scope
from pipelines.task_answers import TaskState

if TYPE_CHECKING:
    from pipelines.gateway import AirflowGateway

WORKER_S = 30.0  # with two more calls, of 12 s each at most, within a worker's lease of a run
PAGE_S = 10.0

log = structlog.get_logger(__name__)


def mark_rest(
    airflow: "AirflowGateway",
    run: Run,
    scope: Scope,
    state: str,
    outcomes: MutableMapping[str, str],
    *,
    is_wanted: Callable[[], bool],
) -> None:
    """Mark what is not in `outcomes` yet: task -> why Airflow refuses it, "" for one that has the state now.

    A task that is refused keeps no other from its state; no more are marked once `is_wanted` says no.

    Raises Unavailable, also when WORKER_S are over, and Unauthorized; `outcomes` has what is done by then.
    """
    give_up_at = time.monotonic() + WORKER_S
    for one in scope.each:
        if one.task in outcomes:
            continue
        _refuse_late(give_up_at)
        if not is_wanted():
            return
        try:
            airflow.mark_tasks(run.dag_id, run.dag_run_id, one, state, dry_run=False)
        except Conflict:
            log.info("task.marked_already", run=run.pk, task=one.task)
        except (NotFound, InvalidRequest) as error:
            outcomes[one.task] = error.message
            continue
        outcomes[one.task] = ""


def would_mark(airflow: "AirflowGateway", run: Run, scope: Scope, state: str) -> list[TaskState | Unread]:
    """Which tasks would get the state.

    Raises Conflict where all have it, Unavailable also when PAGE_S are over, and what the gateway raises.
    """
    give_up_at = time.monotonic() + PAGE_S
    found: dict[str, TaskState | Unread] = {}
    refused: list[Conflict] = []
    for one in scope.each:
        _refuse_late(give_up_at)
        try:
            touched = airflow.mark_tasks(run.dag_id, run.dag_run_id, one, state, dry_run=True)
        except Conflict as error:
            refused.append(error)
        else:
            found |= {task.key: task for task in touched}
    if len(refused) == len(scope.each):
        raise refused[0]
    return list(found.values())


def _refuse_late(give_up_at: float) -> None:
    if time.monotonic() > give_up_at:
        raise Unavailable(_("Airflow takes too long for so many tasks."), service=SERVICE)


def refusals(outcomes: Mapping[str, str]) -> str:
    """What Airflow refused, in words; empty for nothing."""
    refused = {name: words for name, words in outcomes.items() if words}
    if len(outcomes) == 1 or not refused:
        return "".join(refused.values())
    head = _("%(n)d of %(of)d tasks could not be marked:")
    lines = [f"{name}: {words}" for name, words in refused.items()]
    return "\n".join([head % {"n": len(refused), "of": len(outcomes)}, *lines])
