"""Signing in and out, one's own account and password."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access import actions, policy, words
from core.access.forms import OwnPasswordForm, SignInForm
from core.access.http import SignedInRequest
from core.access.queries import n_live_tokens
from core.lib import edge
from core.lib.error_pages import error_page

LOCK_S = 15 * 60
# One's own pages belong to no section of the navigation, although their URLs are in this app.
OWN_PAGES = "account"


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Name and password; afterwards the page that was asked for."""
    going_to = _safe_next(request)
    if request.user.is_authenticated:
        return redirect(going_to)
    form = SignInForm(request, request.POST if request.method == "POST" else None)
    if form.is_valid():
        login(request, form.get_user())
        return redirect(going_to)
    values = {"form": form, "next": going_to}
    return render(request, "access/sign_in.html", values, status=422 if form.is_bound else 200)


def _safe_next(request: HttpRequest) -> str:
    """Where to go on, as long as it is a page of this console."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return edge.own_address(wanted, reverse("console:overview"))


def locked_out(request: HttpRequest, *_args: Any, **_kwargs: Any) -> HttpResponse:
    """What django-axes shows after too many wrong passwords."""
    message = _("Five wrong passwords in a row, so this name is locked here for 15 minutes.")
    what_next = _(
        "Wait and try again, or ask an administrator for a new one-time password: that unlocks it at once."
    )
    response = error_page(request, 429, _("Too many attempts"), message, what_next=what_next)
    response["Retry-After"] = str(LOCK_S)
    return response


@require_POST
def sign_out(request: SignedInRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    messages.success(request, _("You are signed out."))
    return redirect("access:sign-in")


@require_GET
def account(request: SignedInRequest) -> HttpResponse:
    """Who I am here, and what I may do."""
    held = policy.scopes_of(request.user)
    values = {
        "roles": [
            {"name": role, "words": words.ROLES[role]}
            for role in request.user.role_names
            if role in words.ROLES
        ],
        "scopes": [
            {"name": scope, "words": words.SCOPES[scope], "is_held": scope in held} for scope in policy.SCOPES
        ],
        "nav": OWN_PAGES,
        "n_live_tokens": n_live_tokens(request.user),
    }
    return render(request, "access/account.html", values)


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def password_change(request: SignedInRequest) -> HttpResponse:
    """Choose another password; with a one-time password nothing else is possible until then."""
    form = OwnPasswordForm(request.user, request.POST if request.method == "POST" else None)
    if form.is_valid():
        actions.change_own_password(request.user, form.cleaned_data["new_password1"])
        update_session_auth_hash(request, request.user)
        messages.success(request, _("Your password is changed. Your other sessions have ended."))
        return redirect(_safe_next(request))
    is_first = request.user.must_change_password
    values = {"form": form, "next": _safe_next(request), "is_first": is_first, "nav": OWN_PAGES}
    template = "access/password_first.html" if is_first else "access/password_change.html"
    return render(request, template, values, status=422 if form.is_bound else 200)
