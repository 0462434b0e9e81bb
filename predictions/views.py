"""Pages: models to predict with, the form and its answer, recorded predictions."""

import time
import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access import policy
from core.access.http import SignedInRequest
from core.lib import caller, context
from core.lib.edge import refused
from core.lib.errors import InvalidRequest
from core.lib.htmx import go_to, is_htmx
from core.lib.typed import NotANumber, number
from models_registry import queries as registry
from predictions import actions, answered, explanation, masking, partitions, queries, spec_form
from predictions.batches import queries as batches
from predictions.models import Source
from predictions.serving import callers, service
from predictions.serving.engine import Answer
from predictions.serving.served import Served
from predictions.spec_form import PredictForm
from scoring.check import Rows
from scoring.spec import Spec


@require_GET
def index(request: SignedInRequest) -> HttpResponse:
    """The champions that answer."""
    running = service.started()
    values = {
        "champions": [found for _name, found in sorted(running.engine.served.items())],
        "problems": running.refresher.problems,
        "recent": queries.of_user(request.user)[:5],
    }
    return render(request, "predictions/index.html", values)


@require_http_methods(["GET", "HEAD", "POST"])
def one(request: SignedInRequest, model: str) -> HttpResponse:
    """The form; sent, it comes back with its answer or with what has to be corrected."""
    served = service.started().engine.champion(model)
    if request.method != "POST":
        spec = served.spec
        given = (
            spec.example if _wants_example(request, spec) else spec_form.from_texts(spec, request.GET.dict())
        )
        return _one(request, served, PredictForm(served.decoder, given=given))
    form = PredictForm(served.decoder, request.POST)
    if form.rows is None:
        return _one(request, served, form, status=422)
    started = time.perf_counter()
    try:
        answer = _predicted(request, served, form.rows)
    except InvalidRequest as error:  # the model has no answer to these values: they stay in the form
        form.add_error(None, error.message)
        return _one(request, served, form, status=422)
    took_ms = (time.perf_counter() - started) * 1000
    return _one(request, served, form, answer=answer, given=_given_answer(served, answer), took_ms=took_ms)


def _wants_example(request: SignedInRequest, spec: Spec) -> bool:
    """`?example`; with a value it may be a field's."""
    named = {field.name for field in spec.fields}
    return "example" in request.GET and ("example" not in named or not request.GET["example"])


def _one(
    request: SignedInRequest, served: Served, form: PredictForm, status: int = 200, **more: Any
) -> HttpResponse:
    template = "predictions/_one.html" if is_htmx(request) else "predictions/one.html"
    values = {"model": served.ref.model, "served": served, "form": form, "quality": _quality(served), **more}
    return render(request, template, values, status=status)


def _predicted(request: SignedInRequest, served: Served, rows: Rows) -> Answer:
    asked_by, request_id = callers.of_user(request.user), context.request_id.get()
    engine = service.started().engine
    answer = engine.predict(served, lambda _served: rows, asked_by, source="form", request_id=request_id)
    return caller.wait_for(answer, though_left=True)


def _given_answer(served: Served, answer: Answer) -> dict[str, Any]:
    """The one answer with its probabilities as bars, likeliest first."""
    given = answer.predictions[0]
    return {**given, "shares": shares(served.spec, given), "at": partitions.at_of(uuid.UUID(given["id"]))}


def shares(spec: Spec | None, given: dict[str, Any]) -> list[dict[str, Any]]:
    """Probability of each class by label; the answered one is marked."""
    probabilities = given["probabilities"] or {}
    labels = {str(label.value): label.text for label in spec.output.labels} if spec else {}
    found = [
        {"label": labels.get(key, key), "share": share, "is_answer": key == str(given["value"])}
        for key, share in probabilities.items()
    ]
    return sorted(found, key=lambda one: -one["share"])


def _quality(served: Served) -> dict[str, Any] | None:
    """What the gate measured on rows that the model had not seen."""
    row = registry.champion_version(served.ref.model)
    gate = registry.last_gate(row) if row and str(row.version) == served.ref.version else None
    if gate is None or not gate.holdout_rows:
        return None
    figures = gate.metrics.get("candidate", {})
    metric = served.spec.primary_metric
    value = figures.get(metric)
    return {"metric": metric, "value": value, "rows": gate.holdout_rows} if value is not None else None


@require_POST
def check(request: SignedInRequest, model: str) -> HttpResponse:
    """A fragment: derived values and warnings of what is typed so far. Nothing is predicted."""
    served = service.started().engine.champion(model)
    form = PredictForm(served.decoder, request.POST)
    return render(request, "predictions/_check.html", {"form": form})


@require_POST
def why(request: SignedInRequest, model: str) -> HttpResponse:
    """A fragment: what moved the answer to the row that the form holds."""
    engine = service.started().engine
    served = engine.champion(model)
    rows = PredictForm(served.decoder, request.POST).rows
    if rows is None:
        raise InvalidRequest(_("Correct the form first: it holds what the model does not take."))
    found = caller.wait_for(engine.explain(served, lambda _served: rows))
    values = {"why": explanation.drawn(served.spec, rows.inputs[0], found["explanations"][0])}
    return render(request, "predictions/_why.html", values)


@require_GET
def api_help(request: SignedInRequest, model: str) -> HttpResponse:
    """How a program asks for the same."""
    served = service.started().engine.champion(model)
    values = {"model": model, "served": served, **explanation.curl(request, served)}
    return render(request, "predictions/api.html", values)


# --- recorded predictions


@require_GET
def detail(request: SignedInRequest, pk: uuid.UUID) -> HttpResponse:
    """One prediction: inputs, warnings, explanation, what turned out to be true."""
    found = queries.prediction(pk, by=request.user)
    values: dict[str, Any] = {"id": pk, "prediction": found, "at": partitions.at_of(pk)}
    if found is not None:
        spec = answered.spec_of(found)
        given = {"value": found.value, "probabilities": found.probabilities}
        values |= {
            "spec": spec,
            "inputs": spec_form.shown_inputs(spec, masking.inputs(found, by=request.user)),
            "shares": shares(spec, given),
            "actual_text": spec_form.shown_outcome(spec, found.actual),
            "is_own": found.user_id == request.user.pk,
            "is_served": answered.serving(found) is not None,
            "has_file": found.source == Source.BATCH
            and batches.is_kept(found.request_id, model=found.model, by=request.user),
        }
        if is_htmx(request):  # the page that waited for it shows it whole
            return go_to(request, reverse("predict:detail", args=[pk]))
    template = "predictions/_detail.html" if is_htmx(request) else "predictions/detail.html"
    return render(request, template, values)


@require_GET
def why_recorded(request: SignedInRequest, pk: uuid.UUID) -> HttpResponse:
    """What moved a recorded answer, while its version still serves: a fragment, or a page without scripts."""
    found = queries.prediction(pk, by=request.user)
    served = answered.serving(found) if found is not None else None
    drawn = None
    if found is not None and served is not None:
        engine = service.started().engine
        given = caller.wait_for(
            engine.explain(served, lambda served: served.decoder.decode_rows([found.inputs]))
        )
        drawn = explanation.drawn(
            served.spec, masking.inputs(found, by=request.user), given["explanations"][0]
        )
    template = "predictions/_why.html" if is_htmx(request) else "predictions/why.html"
    return render(request, template, {"id": pk, "prediction": found, "why": drawn})


@require_POST
def feedback(request: SignedInRequest, pk: uuid.UUID) -> HttpResponse:
    """Note what turned out to be true."""
    found = queries.prediction(pk, by=request.user)
    spec = answered.spec_of(found) if found is not None else None
    actual = _outcome(request.POST.get("actual", ""), spec)
    labelled = actions.label_prediction(pk, actual=actual, by=request.user, spec=spec)
    if not is_htmx(request):
        return redirect("predict:detail", pk=pk)
    shown = spec_form.shown_outcome(spec, labelled.actual)
    values = {"id": pk, "spec": spec, "prediction": labelled, "actual_text": shown}
    return render(request, "predictions/_feedback.html", values)


def _outcome(text: str, spec: Spec | None) -> str:
    """A class as it is named, a number as programs write it."""
    if spec is None or spec.class_values or not text.strip():
        return text
    try:
        return number(text)
    except NotANumber as error:
        raise refused("actual", str(error)) from error


@require_POST
def erase(request: SignedInRequest, pk: uuid.UUID) -> HttpResponse:
    """Erase one's own prediction for good."""
    found = queries.prediction(pk, by=request.user)
    actions.erase_prediction(pk, by=request.user)
    messages.success(request, _("The prediction was erased."))
    model = found.model if found is not None else ""
    target = reverse("predict:mine", args=[model]) if model else reverse("predict:index")
    return go_to(request, target)


@require_GET
def recent(request: SignedInRequest) -> HttpResponse:
    """A fragment for the overview: predictions a minute, and the last ones."""
    rows = queries.visible_to(request.user)
    minutes = queries.per_minute(rows)
    values = {
        "predictions": rows[:6],
        "bars": explanation.minute_bars(minutes),
        "n_shown": sum(n for _minute, n in minutes),
        "is_all": policy.allows(request.user, "predictions.see_all"),
    }
    return render(request, "predictions/_recent.html", values)
