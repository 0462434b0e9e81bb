"""The system page about limits on signing in: who has to wait, and how an administrator lifts that."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from core.access import actions, limits
from core.access.forms import LimitForm
from core.access.http import SignedInRequest
from core.lib.errors import InvalidRequest


@require_GET
def limit_list(request: SignedInRequest) -> HttpResponse:
    """Names and addresses with too many wrong passwords."""
    values = {
        "names": limits.names(),
        "addresses": limits.addresses(),
        "free_guesses": limits.FREE_GUESSES,
        "free_names": limits.FREE_NAMES,
        "now": timezone.now(),
    }
    return render(request, "access/limit_list.html", values)


@require_POST
def limit_lift(request: SignedInRequest) -> HttpResponse:
    """Let a name or an address try again at once."""
    form = LimitForm(request.POST)
    if not form.is_valid():
        raise InvalidRequest(_("Say which name or address may try again."))
    actions.lift_limit(**form.cleaned_data, by=request.user)
    messages.success(request, _("The limit is lifted."))
    return redirect("access:limit-list")
