"""Pages of alert rules: the list, and the form with what a rule would have raised of late."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access.http import SignedInRequest
from core.lib.errors import ConsoleError
from core.lib.htmx import is_htmx
from core.lib.paging import page_of
from pipelines import alert_rules
from pipelines.alert_rule_form import AlertRuleForm
from pipelines.alert_rule_models import AlertRule
from pipelines.views.common import age

NAV = {"nav": "monitoring"}


@require_GET
def alert_rule_list(request: SignedInRequest) -> HttpResponse:
    """All rules, each with how many of its alerts are open."""
    page = page_of(request, alert_rules.rules())
    page["rows"] = alert_rules.with_alerts(page["rows"])
    template = "_alert_rule_table" if is_htmx(request) else "alert_rule_list"
    return render(request, f"pipelines/{template}.html", {"page": page, **NAV, **age()})


@require_http_methods(["GET", "POST"])
def alert_rule_create(request: SignedInRequest) -> HttpResponse:
    """A new one, for the pipeline of `?pattern=`; with `preview` what it would have raised, first."""
    if request.method == "GET":
        given = {"pattern": request.GET.get("pattern", "")[:250].replace("\x00", "")}
        return _form(request, AlertRuleForm(initial=given))
    form = AlertRuleForm(request.POST)
    if form.is_valid() and "preview" not in request.POST:
        try:
            alert_rules.create(by=request.user, **form.wish())
        except ConsoleError as error:
            form.refuse(error)
        else:
            messages.success(request, _("The rule is made: it judges from now on."))
            return redirect("pipelines:alert-rule-list")
    return _form(request, form)


@require_http_methods(["GET", "POST"])
def alert_rule_edit(request: SignedInRequest, rule_id: int) -> HttpResponse:
    """The form that changes a rule; who may not change it reads it."""
    rule = alert_rules.rule(rule_id)
    if request.method == "GET":
        return _form(request, AlertRuleForm.of(rule), rule)
    form = AlertRuleForm(request.POST)
    if form.is_valid() and "preview" not in request.POST:
        try:
            alert_rules.change(rule_id, by=request.user, **form.wish())
        except ConsoleError as error:
            form.refuse(error)
        else:
            messages.success(request, _("The rule is changed."))
            return redirect("pipelines:alert-rule-list")
    return _form(request, form, rule)


def _form(request: SignedInRequest, form: AlertRuleForm, rule: AlertRule | None = None) -> HttpResponse:
    judged = AlertRule(**form.wish()) if form.is_bound and not form.errors else rule
    context = {
        "form": form,
        "rule": rule,
        "preview": None if judged is None or form.errors else alert_rules.preview(judged),
        **NAV,
        **age(),
    }
    return render(request, "pipelines/alert_rule_form.html", context, status=422 if form.errors else 200)


@require_POST
def alert_rule_switch(request: SignedInRequest, rule_id: int) -> HttpResponse:
    """On or off."""
    is_active = request.POST.get("is_active") == "1"
    alert_rules.change(rule_id, is_active=is_active, by=request.user)
    said = _("The rule is on.") if is_active else _("The rule is off, and its alerts are resolved.")
    messages.success(request, said)
    return redirect("pipelines:alert-rule-list")


@require_POST
def alert_rule_remove(request: SignedInRequest, rule_id: int) -> HttpResponse:
    """Its alerts are resolved."""
    alert_rules.remove(rule_id, by=request.user)
    messages.success(request, _("The rule is removed, and its alerts are resolved."))
    return redirect("pipelines:alert-rule-list")
