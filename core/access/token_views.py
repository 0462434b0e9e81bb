"""API tokens: one's own, and for administrators everybody's."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRefresh, trigger_client_event

from core.access import policy, queries, tokens
from core.access.forms import TokenFilters, TokenForm
from core.access.http import SignedInRequest
from core.access.models import ApiToken
from core.access.views import OWN_PAGES
from core.lib import paging
from core.lib.errors import ConsoleError
from core.lib.htmx import is_htmx


@require_http_methods(["GET", "POST"])
def token_list(request: SignedInRequest) -> HttpResponse:
    """My tokens, and the form for another. The answer to that form is the only place where the key stands."""
    form = TokenForm(request.POST if request.method == "POST" else None, user=request.user)
    made, status = None, 200
    if form.is_bound:
        made = _made(request, form)
        status = 201 if made else 422
    if made:
        form = TokenForm(user=request.user)
    values = {
        "form": form,
        "made": made,
        "tokens": queries.tokens_of(request.user)[: paging.SIZE],
        "nav": OWN_PAGES,
    }
    template = "access/_my_tokens.html" if is_htmx(request) else "access/token_list.html"
    return render(request, template, values, status=status)


def _made(request: SignedInRequest, form: TokenForm) -> dict[str, Any] | None:
    """The new token with its key; None when the form is at fault, and says so."""
    if not form.is_valid():
        return None
    wish = form.cleaned_data
    try:
        token, key = tokens.create(
            request.user, name=wish["name"], scopes=wish["scopes"], days=wish["days"], by=request.user
        )
    except ConsoleError as error:
        form.add_error(None, error.message)
        return None
    return {"token": token, "key": key}


@require_POST
def token_revoke(request: SignedInRequest, pk: int) -> HttpResponse:
    """Close one of my tokens, or as an administrator anybody's."""
    visible = ApiToken.objects.select_related("user")
    if not policy.allows(request.user, "admin"):
        visible = visible.filter(user=request.user)
    token = get_object_or_404(visible, pk=pk)
    has_children = token.children.exists()
    tokens.revoke(token, by=request.user)
    said = _("The token “%(name)s” is revoked.") % {"name": token.name}
    if is_htmx(request) and not has_children:  # else more rows than this one changed
        shown = {"token": token, "is_own_page": request.POST.get("back") != "all"}
        row = render(request, "access/_token_row.html", shown)
        return trigger_client_event(row, "toast", {"level": "success", "message": said})
    messages.success(request, said)
    if is_htmx(request):
        return HttpResponseClientRefresh()
    return redirect("access:all-token-list" if request.POST.get("back") == "all" else "access:token-list")


@require_GET
def all_token_list(request: SignedInRequest) -> HttpResponse:
    """Everybody's tokens, live ones first."""
    form = TokenFilters(request.GET)
    found = queries.all_tokens(**form.cleaned_data) if form.is_valid() else ApiToken.objects.none()
    page = paging.page_of(request, found)
    values = {"form": form, "tokens": page["rows"], "page": page}
    template = "access/_all_tokens.html" if is_htmx(request) else "access/all_token_list.html"
    return render(request, template, values, status=200 if form.is_valid() else 422)
