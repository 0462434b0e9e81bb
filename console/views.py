"""Pages that belong to no app."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from console.middleware import error_page


@require_GET
def overview(request: HttpRequest) -> HttpResponse:
    """What runs, what serves, and what waits for somebody."""
    return render(request, "console/overview.html", {"nav": "overview"})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without its CSRF token: nothing was done."""
    message = _(
        "This form was not sent from a page of this console, or the page was too old. Reload it and try again."
    )
    return error_page(request, 403, _("Not accepted"), message)
