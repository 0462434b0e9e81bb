"""Numbered pages of a list, as `_shared/_pager.html` wants them."""

from typing import Any, Final
from urllib.parse import quote

from django.core.paginator import Paginator
from django.http import HttpRequest
from django.utils.translation import gettext as _

SIZE: Final = 50


def page_of(request: HttpRequest, rows: Any, *, size: int = SIZE) -> dict[str, Any]:
    """The rows of the page that `?page=` names, how many there are in all, links to its neighbours.

    rows: a query, or what has a length and gives slices of itself. A number that no page has gets the last
    one, what is no number the first. Filters stay in the links.
    """
    page = Paginator(rows, size).get_page(request.GET.get("page"))
    return {
        "rows": list(page.object_list),
        "n": page.paginator.count,
        "next_url": _url(request, page.next_page_number()) if page.has_next() else None,
        "previous_url": _url(request, page.previous_page_number()) if page.has_previous() else None,
        "previous_label": _("Previous"),
    }


def _url(request: HttpRequest, number: int) -> str:
    query = request.GET.copy()
    query["page"] = str(number)
    return f"{quote(request.path)}?{query.urlencode()}"
