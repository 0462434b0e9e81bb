"""Pages of alerts, the bell of the top bar and the box of the overview."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from core.access.http import SignedInRequest
from core.alerts import actions, queries
from core.alerts.forms import Filters, MuteForm, ReasonForm, ResolveForm
from core.alerts.states import Severity, State
from core.lib import edge
from core.lib.htmx import is_htmx
from core.lib.paging import page_of


@require_GET
def alert_list(request: SignedInRequest) -> HttpResponse:
    """Alerts by state, severity, rule and words, the latest finding first."""
    filters = Filters(request.GET)
    wanted = filters.wanted()
    page = page_of(request, queries.alerts(**wanted))
    values = {
        "alerts": page["rows"],
        "page": page,
        "wanted": wanted,
        "chips": _chips(wanted),
        "is_filtered": any(wanted[name] for name in ("severity", "rule", "words")),
    }
    template = "alerts/_alert_list.html" if is_htmx(request) else "alerts/alert_list.html"
    return render(request, template, values)


def _chips(wanted: dict[str, str]) -> dict[str, list[tuple[str, object, int]]]:
    """Value, word and number of alerts of each chip; a rule shows while it has any."""
    counts = queries.counts(**wanted)
    states = [(queries.UNRESOLVED_WORD, _("unresolved")), *State.choices, (queries.ALL, _("all"))]
    rules = sorted({*counts["rule"], *filter(None, [wanted["rule"]])})
    return {
        "states": [(value, word, counts["state"][value]) for value, word in states],
        "severities": [(value, word, counts["severity"][value]) for value, word in Severity.choices],
        "rules": [(rule, rule, counts["rule"][rule]) for rule in rules],
    }


@require_GET
def alert_detail(request: SignedInRequest, pk: int) -> HttpResponse:
    """One alert: its numbers, what happened to it, and what may be done."""
    if is_htmx(request):
        return render(request, "alerts/_alert_body.html", {"alert": queries.alert(pk)})
    return _detail(request, pk)


def _detail(request: SignedInRequest, pk: int, *, status: int = 200, **forms: Any) -> HttpResponse:
    forms = {"mute_form": MuteForm(), "resolve_form": ResolveForm(), **forms}
    return render(request, "alerts/alert_detail.html", {"alert": queries.alert(pk), **forms}, status=status)


@require_POST
def alert_acknowledge(request: SignedInRequest, pk: int) -> HttpResponse:
    """Somebody looks after it."""
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _detail(request, pk, status=422, acknowledge_form=form)
    actions.acknowledge(pk, by=request.user, reason=form.cleaned_data["reason"])
    messages.success(request, _("The alert is yours now."))
    return redirect("alerts:alert-detail", pk=pk)


@require_POST
def alert_mute(request: SignedInRequest, pk: int) -> HttpResponse:
    """Quiet for a while."""
    form = MuteForm(request.POST)
    if form.is_valid():
        actions.mute(pk, until=form.until, by=request.user, reason=form.cleaned_data["reason"])
        messages.success(request, _("The alert is muted."))
        return redirect("alerts:alert-detail", pk=pk)
    return _detail(request, pk, status=422, mute_form=form)


@require_POST
def alert_resolve(request: SignedInRequest, pk: int) -> HttpResponse:
    """Over, for the reason that is written down."""
    form = ResolveForm(request.POST)
    if form.is_valid():
        actions.resolve(pk, by=request.user, reason=form.cleaned_data["reason"])
        messages.success(request, _("The alert is resolved."))
        return redirect("alerts:alert-detail", pk=pk)
    return _detail(request, pk, status=422, resolve_form=form)


@require_POST
def acknowledge_selected(request: SignedInRequest) -> HttpResponse:
    """All that are ticked in the list."""
    numbers = [edge.whole_or(None, value) for value in request.POST.getlist("alert")]
    ticked = [number for number in numbers if number is not None]
    n = len(actions.acknowledge_many(ticked, by=request.user))
    text = ngettext("%(n)d alert is acknowledged.", "%(n)d alerts are acknowledged.", n) % {"n": n}
    messages.success(request, text)
    return redirect("alerts:alert-list")


@require_GET
def bell(request: SignedInRequest) -> HttpResponse:
    """The bell with the count of open alerts."""
    return render(request, "alerts/_bell.html", {"open": queries.open_count()})


@require_GET
def overview_box(request: SignedInRequest) -> HttpResponse:
    """The worst of the open alerts."""
    return render(request, "alerts/_overview_box.html", {"alerts": queries.open_alerts()})
