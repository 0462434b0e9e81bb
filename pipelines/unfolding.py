"""The instances of one mapped task of a run's page, a page of them, those that need a look first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from core.access.http import SignedInRequest
from core.lib.paging import page_of
from pipelines import run_tasks
from pipelines.models import Run, TaskInstance
from pipelines.run_tasks import TaskRow

NO_STATE = "none"  # in an address


@dataclass(frozen=True)
class Unfolded:
    """query: what keeps them so in an address."""

    task_id: str
    page: dict[str, Any]
    query: str


def of(
    request: SignedInRequest, run: Run, rows: Sequence[TaskRow], shown: TaskInstance | None
) -> Unfolded | None:
    """The task that `?unfold=` names, else the one that `?task=` chose; None where that is not mapped.

    `?of=` has those of one state alone.
    """
    given = request.GET
    chosen = shown.task_id if shown is not None and "task" in given else ""
    name = given.get("unfold", chosen)
    row = next((row for row in rows if row.task_id == name and row.only is None), None)
    if row is None:
        return None
    state = next((one for one in row.counts if (one or NO_STATE) == given.get("of")), None)
    page = page_of(request, run_tasks.instances(run, name, state=state))
    kept = {key: given[key] for key in ("of", "page") if key in given}
    return Unfolded(name, page, urlencode({"unfold": name, **kept}))
