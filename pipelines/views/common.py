"""What several pages need: numbered pages of rows, and how old the rows may be."""

from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from core.access.http import SignedInRequest
from core.lib.models import SyncState
from pipelines.airflow_auth import SERVICE

PAGE = 50


def page_of(request: SignedInRequest, rows: QuerySet) -> dict[str, Any]:
    """A page of rows by number, with links that keep the filters."""
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()

    def url(number: int) -> str:
        query["page"] = str(number)
        return f"{request.path}?{query.urlencode()}"

    return {
        "rows": list(page.object_list),
        "n": page.paginator.count,
        "next_url": url(page.next_page_number()) if page.has_next() else None,
        "previous_url": url(page.previous_page_number()) if page.has_previous() else None,
        "previous_label": _("Previous"),
    }


def age() -> dict[str, Any]:
    """For the line above the data while Airflow is not answering."""
    return {"stale_since": SyncState.stale_since(SERVICE)}
