"""Pages of one version: evidence and decision, metrics, artefacts, spec and form, history."""

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from core.access.http import SignedInRequest
from core.lib.htmx import is_htmx
from models_registry import actions, evidence, queries
from models_registry.forms import DecisionForm, ReasonForm
from models_registry.models import MlflowRun, ModelVersion, ServingTrouble
from models_registry.states import VERSION_STEPS, VersionState
from models_registry.views.answers import done, shared

MOST_WAITING = 200


def _url(version: ModelVersion | tuple[str, int]) -> str:
    name, number = version if isinstance(version, tuple) else (version.model.name, version.version)
    return reverse("models:version-detail", args=[name, number])


def _head(name: str, number: int) -> dict[str, Any]:
    """What every tab of a version shows."""
    version = queries.version(name, number)
    return {
        "version": version,
        "model": version.model,
        "request_open": queries.open_request(version),
        "trouble": _trouble(version),
        **shared(),
    }


def _trouble(version: ModelVersion) -> ServingTrouble | None:
    """Of the champion: told where the version is it, and where the version answers in its stead."""
    trouble = queries.champion_trouble(version.model.name)
    if trouble is None or version.version not in {trouble.version.version, trouble.answers}:
        return None
    return trouble


def _evidence(request: SignedInRequest, name: str, number: int) -> dict[str, Any]:
    context = _head(name, number)
    version = context["version"]
    gate = queries.last_gate(version)
    champion = queries.champion_version(name)
    return {
        **context,
        "gate": gate,
        "checks": evidence.check_rows(gate, version.spec) if gate else [],
        "chain": evidence.chain(version, champion, dag_id=queries.dag_of(version)),
        "champion": champion,
        "compare_url": _compare_url(version, champion),
        "others": queries.listed_versions(name)[:6],
        "is_own": context["request_open"] is not None
        and context["request_open"].requested_by_id == request.user.pk,
        "may_archive": VersionState.ARCHIVED in VERSION_STEPS[version.state],
        "archive_form": ReasonForm(auto_id="archive-%s"),
        "decided": version.requests.exclude(state="requested").select_related("decided_by").first(),
    }


def _compare_url(version: ModelVersion, champion: ModelVersion | None) -> str:
    """The runs of the version and of the champion side by side, where one experiment holds both."""
    if champion is None or champion.pk == version.pk:
        return ""
    runs = MlflowRun.objects.filter(pk__in=[version.run_id, champion.run_id])
    experiments = list(runs.values_list("experiment_id", flat=True))
    if len(experiments) != 2 or len(set(experiments)) != 1:
        return ""
    query = urlencode([("run", champion.run_id), ("run", version.run_id)])
    return f"{reverse('models:experiment-compare', args=[experiments[0]])}?{query}"


@require_GET
def version_detail(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """The evidence: where the version comes from, what the gate found, and the decision."""
    context = _evidence(request, name, version)
    context["form"] = DecisionForm() if context["request_open"] else ReasonForm()
    context["override_form"] = ReasonForm(auto_id="override-%s")
    template = "models_registry/_evidence.html" if is_htmx(request) else "models_registry/version_detail.html"
    return render(request, template, context)


@require_GET
def version_metrics(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """Numbers of candidate, baseline and champion on the same hold-out, then those of the MLflow run."""
    context = _head(name, version)
    gate = queries.last_gate(context["version"])
    run = MlflowRun.objects.filter(pk=context["version"].run_id).first()
    context |= {"gate": gate, "run": run, "numbers": _numbers(gate.metrics if gate else {})}
    return render(request, "models_registry/version_metrics.html", context)


def _numbers(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    found = {who: metrics.get(who) or {} for who in ("candidate", "baseline", "champion")}
    return [{"name": name, **{who: found[who].get(name) for who in found}} for name in found["candidate"]]


@require_GET
def version_artifacts(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """Files and pictures of the version's run."""
    return render(request, "models_registry/version_artifacts.html", _head(name, version))


@require_GET
def version_spec(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """What the version takes and answers, from its spec."""
    context = _head(name, version)
    return render(request, "models_registry/version_spec.html", {**context, "spec": context["version"].spec})


@require_GET
def version_history(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """Gates, requests and audit rows of the version."""
    context = _head(name, version)
    row = context["version"]
    context |= {
        "gates": row.gates.select_related("requested_by").order_by("-pk")[:20],
        "requests": row.requests.select_related("requested_by", "decided_by", "version__model")[:20],
    }
    return render(request, "models_registry/version_history.html", context)


@require_POST
def version_gate(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """Have the version judged."""
    gate = actions.ask_gate(name, version, by=request.user)
    message = _("The gate of %(version)s is asked for.") % {"version": gate.version}
    return done(request, _url(gate.version), message)


@require_POST
def version_override(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """Let a failed version pass, with a reason."""
    form = ReasonForm(request.POST, auto_id="override-%s")
    if not form.is_valid():
        context = {**_head(name, version), "override_form": form}
        return render(request, "models_registry/_override_form.html", context, status=422)
    actions.override_gate(name, version, reason=form.cleaned_data["reason"], by=request.user)
    return done(
        request, _url((name, version)), _("The failed gate is overridden; the version keeps the mark.")
    )


@require_POST
def version_archive(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """Put the version aside."""
    row = actions.archive(name, version, reason=_reason(request), by=request.user)
    return done(request, _url(row), _("%(version)s is archived.") % {"version": row})


@require_POST
def version_unarchive(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """Bring the version back."""
    row = actions.unarchive(name, version, reason=_reason(request), by=request.user)
    message = _("%(version)s is back: %(state)s.")
    return done(request, _url(row), message % {"version": row, "state": row.get_state_display()})


def _reason(request: SignedInRequest) -> str:
    return request.POST.get("reason", "")


@require_POST
def version_request(request: SignedInRequest, name: str, version: int) -> HttpResponse:
    """Ask for the promotion."""
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return _decision_again(request, name, version, form)
    actions.request_promotion(name, version, reason=form.cleaned_data["reason"], by=request.user)
    return done(request, _url((name, version)), _("The promotion is requested. Somebody else decides."))


def _decision_again(request: SignedInRequest, name: str, version: int, form: ReasonForm) -> HttpResponse:
    """The decision's card with the form as it was sent, and what is wrong with it."""
    context = {**_evidence(request, name, version), "form": form, "override_form": ReasonForm()}
    template = "models_registry/_decision.html" if is_htmx(request) else "models_registry/version_detail.html"
    return render(request, template, context, status=422)


@require_POST
def promotion_decide(request: SignedInRequest, pk: int) -> HttpResponse:
    """Approve or reject, by the button."""
    asked = queries.promotion(pk)
    version = asked.version
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _decision_again(request, version.model.name, version.version, form)
    is_approval = form.cleaned_data["decision"] == "approve"
    decide = actions.approve if is_approval else actions.reject
    decide(pk, reason=form.cleaned_data["reason"], by=request.user)
    words = (
        _("%(version)s is champion. Serving changes within 5 seconds.")
        if is_approval
        else _("The promotion of %(version)s is rejected.")
    )
    return done(request, _url(version), words % {"version": version})


@require_POST
def promotion_withdraw(request: SignedInRequest, pk: int) -> HttpResponse:
    """Take one's own request back."""
    asked = actions.withdraw(pk, by=request.user)
    return done(request, _url(asked.version), _("The request is withdrawn."))


@require_GET
def promotion_list(request: SignedInRequest) -> HttpResponse:
    """The inbox: what waits first, then what was decided."""
    decided = queries.promotions().exclude(state="requested")[:100]
    waiting = queries.waiting()
    context = {
        "waiting": waiting[:MOST_WAITING],
        "waiting_count": waiting.count(),
        "decided": decided,
        **shared(),
    }
    template = (
        "models_registry/_promotion_lists.html" if is_htmx(request) else "models_registry/promotion_list.html"
    )
    return render(request, template, context)
