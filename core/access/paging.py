"""Numbered pages of a list, as `_shared/_pager.html` wants them."""

from typing import Any

from django.core.paginator import Page
from django.http import HttpRequest
from django.utils.translation import gettext as _


def links(request: HttpRequest, page: Page) -> dict[str, Any]:
    """How many rows there are, and the URLs of the pages before and after; the filters stay in them."""
    return {
        "n": page.paginator.count,
        "next_url": _url(request, page.next_page_number()) if page.has_next() else None,
        "previous_url": _url(request, page.previous_page_number()) if page.has_previous() else None,
        "previous_label": _("Previous"),
    }


def _url(request: HttpRequest, number: int) -> str:
    query = request.GET.copy()
    query["page"] = str(number)
    return f"{request.path}?{query.urlencode()}"
