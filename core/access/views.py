"""Signing in and out, one's own account and password."""

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access import actions, places, policy, reader, signals, words
from core.access.forms import OwnPasswordForm, PreferencesForm, SignInForm
from core.access.http import SignedInRequest
from core.access.queries import n_live_tokens
from core.lib import edge, live

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
        response: HttpResponse = redirect(going_to)
        places.remember_browser(response, form.get_user())
        return response
    if form.wait_s:
        return _wait_first(request, form, going_to)
    values = {"form": form, "next": going_to}
    return render(request, "access/sign_in.html", values, status=422 if form.is_bound else 200)


def _wait_first(request: HttpRequest, form: SignInForm, going_to: str) -> HttpResponse:
    """The form says how long."""
    signals.note_limit(form.cleaned_data.get("username", ""))
    response = render(request, "access/sign_in.html", {"form": form, "next": going_to}, status=429)
    response["Retry-After"] = str(form.wait_s)
    return response


def _safe_next(request: HttpRequest) -> str:
    """Where to go on, as long as it is a page of this console."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    return edge.own_address(wanted, reverse("console:overview"))


@require_POST
def sign_out(request: SignedInRequest) -> HttpResponse:
    """End the session, and the live sockets of its pages."""
    user_id = request.user.pk
    logout(request)
    live.recheck(user_id)
    messages.success(request, _("You are signed out."))
    return redirect("access:sign-in")


@require_GET
def account(request: SignedInRequest) -> HttpResponse:
    """Who I am here, and what I may do."""
    return _account(request, _preferences(request))


@require_POST
def preferences(request: SignedInRequest) -> HttpResponse:
    """Choose language and time zone; both may be left to the browser."""
    form = _preferences(request)
    if not form.is_valid():
        return _account(request, form, status=422)
    actions.prefer(request.user, **form.cleaned_data)
    reader.serve(request)
    messages.success(request, _("Pages speak to you in this way now."))
    return redirect("access:account")


def _preferences(request: SignedInRequest) -> PreferencesForm:
    user = request.user
    return PreferencesForm(
        request.POST if request.method == "POST" else None,
        initial={"language": user.language, "time_zone": user.time_zone},
        browser_zone=reader.browser_zone(request),
    )


def _account(request: SignedInRequest, form: PreferencesForm, status: int = 200) -> HttpResponse:
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
        "form": form,
        "zones": reader.zone_choices(),
    }
    return render(request, "access/account.html", values, status=status)


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
