"""The system pages about people: users, roles, and the links to each service's own pages."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access import actions, policy, queries, words
from core.access.forms import UserEditForm, UserFilters, UserForm
from core.access.http import SignedInRequest
from core.access.models import User
from core.lib import paging
from core.lib.errors import Conflict, InvalidRequest
from core.lib.htmx import is_htmx


@require_GET
def system(request: SignedInRequest) -> HttpResponse:
    """The health of each part."""
    return render(request, "access/system.html")


@require_GET
def service_list(request: SignedInRequest) -> HttpResponse:
    """Where each service's own pages are."""
    services = [
        {
            "name": "Airflow",
            "page": reverse("pipelines:airflow"),
            "url": settings.CONSOLE_AIRFLOW_PUBLIC_URL,
            "words": _("Pipelines, their runs and logs"),
            "access": _(
                "Opens as yourself, to read, where its address has the host name of this one. Else, and to"
                " change something there, it asks for an account of its own."
            ),
        },
        {
            "name": "MLflow",
            "page": settings.CONSOLE_MLFLOW_PUBLIC_URL,
            "url": settings.CONSOLE_MLFLOW_PUBLIC_URL,
            "words": _("Experiments and registered models"),
            "access": _mlflow_access(),
        },
        *_observability(),
    ]
    return render(request, "access/service_list.html", {"services": services})


def _observability() -> list[dict[str, str]]:
    """Those that this installation has. Neither knows the console's users."""
    words = _("Its own sign-in, if it has one, is no business of this console.")
    known = (
        ("Prometheus", settings.CONSOLE_PROMETHEUS_URL, _("Metrics, rules and alerts")),
        ("Grafana", settings.CONSOLE_GRAFANA_URL, _("Dashboards of the metrics")),
    )
    return [
        {"name": name, "page": url, "url": url, "words": what, "access": words}
        for name, url, what in known
        if url
    ]


def _mlflow_access() -> str:
    """How a person gets in; the password itself is on no page."""
    if not settings.CONSOLE_MLFLOW_USERNAME:
        return ""
    return _(
        "It asks for a name and a password: %(name)s, and what CONSOLE_MLFLOW_PASSWORD says in the console's"
        " settings (after `make up`: %(file)s)."
    ) % {"name": settings.CONSOLE_MLFLOW_USERNAME, "file": settings.CONSOLE_VAR_DIR / "console.env"}


@require_GET
def role_list(request: SignedInRequest) -> HttpResponse:
    """The table of roles and what each allows."""
    counts = queries.role_counts()
    values = {
        "roles": [
            {"name": role, "words": words.ROLES[role], "n_people": counts.get(role, 0)}
            for role in policy.ROLES
        ],
        "scopes": [
            {
                "name": scope,
                "words": words.SCOPES[scope],
                "holders": [role in holders for role in policy.ROLES],
            }
            for scope, holders in policy.SCOPES.items()
        ],
    }
    return render(request, "access/role_list.html", values)


@require_GET
def user_list(request: SignedInRequest) -> HttpResponse:
    """People and pipelines' accounts."""
    form = UserFilters(request.GET)
    found = queries.users(**form.cleaned_data) if form.is_valid() else User.objects.none()
    page = paging.page_of(request, found)
    values = {"form": form, "users": page["rows"], "page": page}
    template = "access/_user_table.html" if is_htmx(request) else "access/user_list.html"
    return render(request, template, values, status=200 if form.is_valid() else 422)


@require_http_methods(["GET", "POST"])
def user_create(request: SignedInRequest) -> HttpResponse:
    """The form for a new person. The answer to it is the only place where the one-time password stands."""
    form = UserForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            user, password = actions.create_user(**form.cleaned_data, by=request.user)
        except InvalidRequest as error:
            _add_errors(form, error)
        else:
            return _show_password(request, user, password, status=201)
    template = "access/_user_form.html" if is_htmx(request) else "access/user_create.html"
    return render(request, template, _form_values(form), status=422 if form.is_bound else 200)


def _add_errors(form: Any, error: InvalidRequest) -> None:
    for fault in error.errors:
        form.add_error(fault["field"] if fault["field"] in form.fields else None, fault["message"])


def _form_values(form: Any) -> dict[str, Any]:
    return {"form": form, "role_words": words.ROLES}


def _show_password(request: SignedInRequest, user: User, password: str, status: int = 200) -> HttpResponse:
    values = {"person": user, "password": password, "is_new": status == 201}
    template = "access/_one_time_password.html" if is_htmx(request) else "access/one_time_password.html"
    return render(request, template, values, status=status)


@require_http_methods(["GET", "POST"])
def user_detail(request: SignedInRequest, pk: int) -> HttpResponse:
    """One person: roles and address to edit, tokens, and what happened to the account."""
    user = get_object_or_404(User, pk=pk)
    form = UserEditForm.of(user, request.POST if request.method == "POST" else None)
    status = 422 if form.is_bound else 200
    if form.is_valid():
        try:
            actions.edit_user(user, **form.cleaned_data, by=request.user)
        except Conflict as error:
            form.add_error(None, error.message)
            status = 409
        else:
            messages.success(request, _("%(name)s is changed.") % {"name": user.username})
            return redirect("access:user-detail", pk)
    values = {"person": user, "tokens": queries.tokens_of(user)[: paging.SIZE], **_form_values(form)}
    return render(request, "access/user_detail.html", values, status=status)


@require_POST
def user_deactivate(request: SignedInRequest, pk: int) -> HttpResponse:
    """End the person's sessions and tokens now."""
    user = get_object_or_404(User, pk=pk)
    actions.deactivate_user(user, by=request.user)
    messages.success(request, _("%(name)s is deactivated.") % {"name": user.username})
    return redirect("access:user-detail", pk)


@require_POST
def user_activate(request: SignedInRequest, pk: int) -> HttpResponse:
    """Let the person in again."""
    user = get_object_or_404(User, pk=pk)
    actions.activate_user(user, by=request.user)
    messages.success(request, _("%(name)s is active again.") % {"name": user.username})
    return redirect("access:user-detail", pk)


@require_POST
def user_reset_password(request: SignedInRequest, pk: int) -> HttpResponse:
    """A new one-time password, shown in the answer alone."""
    user = get_object_or_404(User, pk=pk)
    return _show_password(request, user, actions.reset_password(user, by=request.user))
