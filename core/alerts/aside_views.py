"""The page under System that lists what was set aside, loop by loop."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from core.lib import aside
from core.lib.paging import page_of


@require_GET
def set_aside_list(request: SignedInRequest) -> HttpResponse:
    """All loops, or the one that the URL names; the latest try first."""
    wanted = request.GET.get("loop", "")[:60]
    page = page_of(request, aside.rows_of(wanted))
    numbers = aside.numbers()
    values = {
        "rows": page["rows"],
        "page": page,
        "loops": [{"name": name, "n": n} for name, n in numbers.items() if n or name == wanted],
        "wanted": wanted,
    }
    return render(request, "alerts/set_aside_list.html", values)
