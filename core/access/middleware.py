"""Deny by default: every request needs a route in the table of `policy`, and what that table asks for."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import denials, policy, reader, tokens
from core.lib import problems
from core.lib.error_pages import is_api, show_error
from core.lib.errors import ConsoleError
from core.lib.htmx import is_htmx

# What somebody with a one-time password may still do in a session, besides what is public.
BEFORE_OWN_PASSWORD = {"access:password-change", "access:sign-out"}


class AccessMiddleware:
    """Sets the user of an API token, asks for a sign-in where one is needed, and checks the route's scope."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(None):  # what this request's reader is shown ends with it
            response = self.get_response(request)
        if response.status_code == 403:
            denials.note(request)
        return response

    def process_view(self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        """Decide before the view runs. What is raised here meets no other middleware, so it is shown here."""
        try:
            return _decide(request)
        except OperationalError as error:
            request.user = AnonymousUser()  # the page of the error cannot ask the database who this is
            return show_error(request, error)
        except (PermissionDenied, ConsoleError) as error:
            return show_error(request, error)


def _decide(request: HttpRequest) -> HttpResponse | None:
    route = request.resolver_match.view_name if request.resolver_match else ""
    rule = policy.needed(route, request.method or "GET")
    if rule == policy.PUBLIC:
        return None
    if is_api(request):
        tokens.apply(request)
    if not request.user.is_authenticated:
        return _sign_in_first(request)
    reader.serve(request)
    if rule is None:
        raise policy.Denied(_("Nobody may use this address with %(method)s.") % {"method": request.method})
    if rule != policy.SIGNED_IN:
        policy.check(request.user, rule)
    if _has_one_time_password(request) and route not in BEFORE_OWN_PASSWORD:
        return _own_password_first(request)
    return None


def _has_one_time_password(request: HttpRequest) -> bool:
    """A token was made by somebody who could, and says nothing about the password: it goes on working."""
    is_session = getattr(request, "auth_token", None) is None
    return is_session and getattr(request.user, "must_change_password", False)


def _own_password_first(request: HttpRequest) -> HttpResponse:
    if is_api(request):
        raise policy.Denied(_("Your password is for one use. Sign in on the page and choose your own first."))
    return _go_to(request, reverse("access:password-change"))


def _sign_in_first(request: HttpRequest) -> HttpResponse:
    if is_api(request):
        detail = _("Send a token as `Authorization: Bearer …`, or sign in.")
        return problems.response(401, _("Not signed in"), detail, headers={"WWW-Authenticate": "Bearer"})
    return _go_to(request, reverse("access:sign-in"), status=401)


def _go_to(request: HttpRequest, target: str, status: int = 200) -> HttpResponse:
    """Send the browser to `target`, which brings it back here. htmx follows a header, others a 302."""
    target = f"{target}?{urlencode({'next': _page_of(request)})}"
    if is_htmx(request):
        return HttpResponse(status=status, headers={"HX-Redirect": target})
    return HttpResponseRedirect(target)


def _page_of(request: HttpRequest) -> str:
    """The page to come back to: for htmx the one that the fragment belongs to, after a POST the start."""
    if is_htmx(request):
        return _path_of(request.headers.get("HX-Current-URL", ""))
    return request.get_full_path() if request.method in {"GET", "HEAD"} else "/"


def _path_of(url: str) -> str:
    """Path and query of an address; the start for what is none."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket too many
        return "/"
    return parts.path + (f"?{parts.query}" if parts.query else "") or "/"
