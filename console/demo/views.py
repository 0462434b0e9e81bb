"""The box on the overview that says how far the demonstration is."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from console.demo import actions, queries
from core.access.http import SignedInRequest
from core.lib.htmx import is_htmx


@require_GET
def box(request: HttpRequest) -> HttpResponse:
    """Empty when there is nothing to say."""
    return render(request, "demo/_box.html", {"box": queries.shown()})


@require_POST
def dismiss(request: SignedInRequest) -> HttpResponse:
    """Close the box for everybody; what the demonstration made stays."""
    actions.dismiss(by=request.user)
    return render(request, "demo/_box.html", {"box": queries.shown()}) if is_htmx(request) else redirect("/")
