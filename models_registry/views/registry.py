"""Pages of registered models: the list, one model, its policy and its rollback."""

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from core.access.http import SignedInRequest
from core.lib.errors import InvalidRequest
from core.lib.htmx import is_htmx
from core.lib.paging import page_of
from models_registry import actions, ledger, queries
from models_registry.forms import PolicyForm, RollbackForm
from models_registry.models import ChampionPeriod
from models_registry.queries import scores_of
from models_registry.states import VersionState
from models_registry.views.answers import done, shared

MOST_CHAMPIONS = 10


@require_GET
def model_list(request: SignedInRequest) -> HttpResponse:
    """Every registered model with its champion."""
    text = request.GET.get("q", "").strip()[:250]
    rows = queries.models()
    found = page_of(request, rows.filter(name__icontains=text) if text else rows)
    template = "models_registry/_model_table.html" if is_htmx(request) else "models_registry/model_list.html"
    return render(request, template, {"page": found, "waiting_count": queries.waiting().count(), **shared()})


@require_GET
def model_detail(request: SignedInRequest, name: str) -> HttpResponse:
    """One model: who is champion, all versions, and who was champion when."""
    model = queries.model(name)
    state = request.GET.get("state", "")
    period = next(iter(model.periods_now), None)  # type: ignore[attr-defined]
    previous = ledger.previous_champion(model)
    context = {
        "model": model,
        "period": period,
        "champion": period.version if period else None,
        "page": page_of(request, queries.listed_versions(name, state)),
        "state": state,
        "n_archived": model.versions.filter(state=VersionState.ARCHIVED).count(),
        "trouble": period.version.trouble if period else None,
        "alias_warning": queries.alias_warning(model),
        "history": queries.history(name)[:20],
        "previous": previous,
        "scores": scores_of(model.newest),  # type: ignore[attr-defined]
        "policy_form": PolicyForm(initial={"policy": model.policy}),
        "rollback_form": RollbackForm(
            auto_id="rollback-%s", initial={"to": previous.version if previous else None}
        ),
        **shared(),
    }
    template = "models_registry/_model_body.html" if is_htmx(request) else "models_registry/model_detail.html"
    return render(request, template, context)


@require_POST
def policy_set(request: SignedInRequest, name: str) -> HttpResponse:
    """Choose who approves."""
    model = actions.set_policy(name, value=request.POST.get("policy", ""), by=request.user)
    message = _("Promotions of %(model)s: %(policy)s.") % {
        "model": name,
        "policy": model.get_policy_display(),
    }
    return done(request, reverse("models:model-detail", args=[name]), message)


@require_POST
def model_rollback(request: SignedInRequest, name: str) -> HttpResponse:
    """Back to the champion before."""
    form = RollbackForm(request.POST)
    if not form.is_valid():
        raise InvalidRequest(form.errors.as_text())
    given = form.cleaned_data
    period = actions.rollback(name, reason=given["reason"], to=given["to"], by=request.user)
    message = _("%(version)s is champion again. Serving changes within 5 seconds.") % {
        "version": period.version
    }
    return done(request, reverse("models:model-detail", args=[name]), message)


@require_GET
def champions(request: SignedInRequest) -> HttpResponse:
    """Box of the overview: who serves now."""
    periods = (
        ChampionPeriod.objects.filter(until=None)
        .select_related("model", "version", "by")
        .prefetch_related("version__troubles")
        .defer("version__spec_json")
    )
    shown = periods.order_by("model__name")[:MOST_CHAMPIONS]
    context = {"periods": shown, "n_more": max(periods.count() - MOST_CHAMPIONS, 0)}
    return render(request, "models_registry/_champions.html", context)


@require_GET
def needs_you(request: SignedInRequest) -> HttpResponse:
    """Box of the overview: requests that this person may decide."""
    return render(request, "models_registry/_needs_you.html", {"requests": queries.needs_you(request.user)})
