"""Deny by default: every request needs a route in the table of `policy`, and what that table asks for."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from console.access import policy, tokens
from console.lib import problems


class AccessMiddleware:
    """Sets the user of an API token, asks for a sign-in where one is needed, and checks the route's scope."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        """Decide before the view runs; Denied is shown by the error pages."""
        match = request.resolver_match
        rule = policy.needed(match.view_name, request.method or "GET") if match else None
        if rule == policy.PUBLIC:
            return None
        if request.path.startswith("/api/"):
            tokens.apply(request)
        if not request.user.is_authenticated:
            return _sign_in_first(request)
        if rule is None:
            raise policy.Denied(
                _("Nobody may use this address with %(method)s.") % {"method": request.method}
            )
        if rule != policy.SIGNED_IN:
            policy.check(request.user, rule)
        return None


def _sign_in_first(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        detail = _("Send a token as `Authorization: Bearer …`, or sign in.")
        return problems.response(401, _("Who are you?"), detail, headers={"WWW-Authenticate": "Bearer"})
    came_from = (
        request.headers.get("HX-Current-URL-Path", "/") if is_htmx(request) else request.get_full_path()
    )
    target = f"{settings.LOGIN_URL}?{urlencode({'next': came_from})}"
    if is_htmx(request):
        return HttpResponse(status=401, headers={"HX-Redirect": target})
    return HttpResponseRedirect(target)


def is_htmx(request: HttpRequest) -> bool:
    """Whether htmx sent the request and expects a fragment."""
    return request.headers.get("HX-Request") == "true"
