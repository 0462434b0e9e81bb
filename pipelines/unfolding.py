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
LONGEST_TEXT = 250


@dataclass(frozen=True)
class Unfolded:
    """query: what keeps them so in an address. text: what is looked for among them.

    kept: what else the address says, for the form that looks.
    """

    task_id: str
    page: dict[str, Any]
    query: str
    text: str
    kept: dict[str, str]


def of(
    request: SignedInRequest, run: Run, rows: Sequence[TaskRow], shown: TaskInstance | None
) -> Unfolded | None:
    """The task that `?unfold=` names, else the one that `?task=` chose; None where that is not mapped.

    `?of=` has those of one state alone, `?find=` those of an index or a name.
    """
    given = request.GET
    chosen = shown.task_id if shown is not None and "task" in given else ""
    name = given.get("unfold", chosen)
    row = next((row for row in rows if row.task_id == name and row.only is None), None)
    if row is None:
        return None
    state = next((one for one in row.counts if (one or NO_STATE) == given.get("of")), None)
    text = given.get("find", "").strip()[:LONGEST_TEXT]
    page = page_of(request, run_tasks.instances(run, name, state=state, text=text))
    here = {key: given[key] for key in ("of", "find", "page") if given.get(key)}
    kept = {key: given[key] for key in ("task", "map_index", "show", "of") if given.get(key)}
    query = urlencode({"unfold": name, **here})
    return Unfolded(name, page, query, text, {"unfold": name, **kept})
