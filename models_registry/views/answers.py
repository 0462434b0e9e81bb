"""What views have in common: the age of the rows, pages of a list, and the answer after a click."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from core.lib.models import SyncState
from models_registry.gateway import SERVICE

PAGE = 50
WALK = "models_registry.sync.walk_everything"


def shared() -> dict[str, Any]:
    """As of when the rows hold."""
    return {"stale_since": SyncState.stale_since(SERVICE), "service": "MLflow", "nav": "models"}


def walked() -> dict[str, Any]:
    """When everything was last compared with MLflow: late tags and deletions are known up to then."""
    state = SyncState.objects.filter(name=WALK).first()
    return {"walked_at": state.last_success_at if state else None}


def page(request: HttpRequest, rows: QuerySet[Any]) -> dict[str, Any]:
    """A page of rows by number, with links that keep the filters."""
    found = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    query = request.GET.copy()

    def url(number: int) -> str:
        query["page"] = str(number)
        return f"{request.path}?{query.urlencode()}"

    return {
        "rows": list(found.object_list),
        "n": found.paginator.count,
        "next_url": url(found.next_page_number()) if found.has_next() else None,
        "previous_url": url(found.previous_page_number()) if found.has_previous() else None,
        "previous_label": _("Previous"),
    }


def is_htmx(request: HttpRequest) -> bool:
    """Whether a fragment is expected instead of a page."""
    return request.headers.get("HX-Request") == "true"


def done(request: HttpRequest, url: str, message: str) -> HttpResponse:
    """To `url`, which shows the message."""
    messages.success(request, message)
    if is_htmx(request):
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)
