"""What several pages need: how old the rows may be, and runs as the address asks for them."""

from typing import Any

from core.access.http import SignedInRequest
from core.lib.errors import InvalidRequest
from core.lib.htmx import is_htmx
from core.lib.models import SyncState
from core.lib.paging import page_of
from pipelines import queries
from pipelines.airflow_auth import SERVICE
from pipelines.run_filters import RunFilters


def age() -> dict[str, Any]:
    """For the line above the data while Airflow is not answering."""
    return {"stale_since": SyncState.stale_since(SERVICE)}


def listed_runs(
    request: SignedInRequest, *, dag_id: str = "", ids: list[int] | None = None
) -> tuple[dict[str, Any], int]:
    """What the table of runs shows with its filters, and the status: none, and 422, if they make no sense.

    A fragment goes where the table is, so it comes with 200 and says it there.
    """
    form = RunFilters(request.GET)
    try:
        wanted, status = form.wanted(request.user), 200
        found = queries.runs(wanted, dag_id=dag_id, ids=ids)
    except InvalidRequest:
        wanted, status = queries.ALL_RUNS, 200 if is_htmx(request) else 422
        found = queries.runs().none()
    return {
        "page": page_of(request, found),
        "form": form,
        "wanted": wanted,
        "is_narrow": _is_narrow(form, ids),
    }, status


def _is_narrow(form: RunFilters, ids: list[int] | None) -> bool:
    return bool(ids) or any(form.data.get(name) for name in form.fields if name != "order")


def folded(request: SignedInRequest) -> list[str]:
    """The groups of tasks that the address has as one box (`?fold=`)."""
    return request.GET.getlist("fold")
