"""Pages of a list, numbered or one after another, as `_shared/_pager.html` wants them."""

from typing import Any, Final
from urllib.parse import quote

from django.core.paginator import Paginator
from django.http import HttpRequest, QueryDict
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


def links(request: HttpRequest, cursor: str, following: Any) -> dict[str, Any]:
    """Links of a list that goes on from a cursor: to what follows, and back to its first page.

    cursor: the parameter that holds where a page begins; following: its value for the next page, None on the
    last. filters: what is asked for on whatever page; what is empty is left out.
    """
    filters = request.GET.copy()
    for name in [name for name, value in request.GET.items() if name == cursor or not value]:
        del filters[name]
    after = filters.copy()
    after[cursor] = str(following)
    return {
        "filters": filters.urlencode(),
        "next_url": None if following is None else _address(request, after),
        "previous_url": _address(request, filters) if request.GET.get(cursor) else None,
    }


def _url(request: HttpRequest, number: int) -> str:
    query = request.GET.copy()
    query["page"] = str(number)
    return _address(request, query)


def _address(request: HttpRequest, query: QueryDict) -> str:
    return f"{quote(request.path)}?{query.urlencode()}"
