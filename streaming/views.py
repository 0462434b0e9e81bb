"""Pages of streams and replays, and the fragments that keep them fresh."""

import json
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.access.http import SignedInRequest
from core.lib.errors import ConsoleError
from core.lib.htmx import is_htmx
from core.lib.paging import page_of
from streaming import actions, defaults, queries, reading
from streaming.definition import Definition
from streaming.forms import ChangeForm, ReplayForm, StreamForm
from streaming.models import Stream


def _page(request: SignedInRequest, rows: Any) -> dict[str, Any]:
    page = page_of(request, rows)
    return {"rows": page["rows"], "page": page}


def _lags(names: list[str]) -> dict[str, int]:
    """By stream; empty while Kafka does not answer, which the table shows by dashes."""
    try:
        return queries.lags(names)
    except ConsoleError:
        return {}


@require_GET
def stream_list(request: SignedInRequest) -> HttpResponse:
    """Every stream with what it has counted and how far behind it is."""
    standings = queries.streams()
    lags = _lags([one.stream.name for one in standings])
    rows = [(one, lags.get(one.stream.name)) for one in standings]
    template = "streaming/_stream_table.html" if is_htmx(request) else "streaming/stream_list.html"
    return render(request, template, {"rows": rows, "has_lags": bool(lags) or not rows})


@require_http_methods(["GET", "POST"])
def stream_create(request: SignedInRequest) -> HttpResponse:
    """A new definition; the form starts with that of the taxi trips."""
    example = json.dumps(defaults.TAXI_TRIPS, indent=2)
    form = StreamForm(request.POST or None, initial={"definition": example})
    if request.method == "POST" and form.is_valid():
        try:
            stream = actions.create_stream(**form.cleaned_data, by=request.user)
        except ConsoleError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _("The stream “%(name)s” is defined.") % {"name": stream.name})
            return redirect("streams:stream-detail", name=stream.name)
    values = {"form": form}
    return render(request, "streaming/stream_create.html", values, status=422 if form.errors else 200)


@require_GET
def stream_detail(request: SignedInRequest, name: str) -> HttpResponse:
    """The live page: rate, lag, counts and measures by group."""
    stream = queries.stream(name)
    values = {**_head(stream), "state": queries.chart(stream), "gaps": queries.gaps(stream)}
    return render(request, "streaming/stream_detail.html", values)


def _head(stream: Stream) -> dict[str, Any]:
    definition = stream.usable
    return {
        "stream": stream,
        "definition": definition,
        "measured": _measured(definition) if definition else [],
        "n_dead": stream.dead_letters.count(),
        "rule": definition.anomaly_rule if definition else None,
        "n_anomalies": stream.anomalies.count(),
    }


def _measured(definition: Definition) -> list[dict[str, str]]:
    return [
        {"name": measure.name, "kind": measure.kind, "unit": _unit(definition, measure.field)}
        for measure in definition.measures
    ]


def _unit(definition: Definition, field: str) -> str:
    return next((one.unit for one in definition.fields if one.name == field), "")


@require_GET
def stream_state(request: SignedInRequest, name: str) -> HttpResponse:
    """The chart's numbers from the rows, for a page that missed frames."""
    return JsonResponse(queries.chart(queries.stream(name)))


@require_GET
def stream_windows(request: SignedInRequest, name: str) -> HttpResponse:
    """The same numbers as a table."""
    stream = queries.stream(name)
    values = {**_head(stream), **_page(request, queries.windows(stream))}
    names = [measure["name"] for measure in values["measured"]]
    values["rows"] = [(row, [row.measures.get(measure) for measure in names]) for row in values["rows"]]
    template = "streaming/_window_table.html" if is_htmx(request) else "streaming/stream_windows.html"
    return render(request, template, values)


@require_GET
def dead_letter_list(request: SignedInRequest, name: str) -> HttpResponse:
    """Messages that are in no window, and why; what they hold only for those who may read messages."""
    stream = queries.stream(name)
    values = {**_head(stream), **_page(request, queries.dead_letters(stream))}
    values["tallies"] = stream.dead_tallies.order_by("-n")
    values["n_waiting"] = queries.letters_waiting(stream)
    values["may_read"] = reading.may_read(request.user, stream.topic)
    template = "streaming/_dead_letter_table.html" if is_htmx(request) else "streaming/dead_letter_list.html"
    return render(request, template, values)


@require_GET
def anomaly_list(request: SignedInRequest, name: str) -> HttpResponse:
    """Events above the limit of the anomaly rule, and how the rule fares."""
    stream = queries.stream(name)
    values = {**_head(stream), **_page(request, queries.anomalies(stream))}
    values["rule_state"] = queries.rule_state(stream)
    template = "streaming/_anomaly_table.html" if is_htmx(request) else "streaming/anomaly_list.html"
    return render(request, template, values)


@require_POST
def redrive(request: SignedInRequest, name: str, pk: int) -> HttpResponse:
    """Send one dead letter to its topic again."""
    actions.ask_redrive(name, pk, by=request.user)
    messages.success(request, _("The message is on its way to its topic again."))
    return redirect("streams:dead-letter-list", name=name)


@require_http_methods(["GET", "POST"])
def stream_definition(request: SignedInRequest, name: str) -> HttpResponse:
    """The definition, and the form that changes it."""
    stream = queries.stream(name)
    now = {"description": stream.description, "definition": json.dumps(stream.definition, indent=2)}
    form = ChangeForm(request.POST if request.method == "POST" else None, initial=now)
    if request.method == "POST" and form.is_valid():
        actions.change_stream(name, by=request.user, **form.cleaned_data)
        messages.success(request, _("The definition is changed; the aggregator follows within seconds."))
        return redirect("streams:stream-definition", name=name)
    values = {**_head(stream), "form": form}
    return render(request, "streaming/stream_definition.html", values, status=422 if form.errors else 200)


@require_POST
def stream_delete(request: SignedInRequest, name: str) -> HttpResponse:
    """Delete a stream with what it counted."""
    actions.delete_stream(name, by=request.user)
    messages.success(request, _("The stream “%(name)s” is deleted.") % {"name": name})
    return redirect("streams:stream-list")


@require_http_methods(["GET", "POST"])
def replay_list(request: SignedInRequest) -> HttpResponse:
    """Replays with their progress, and the form that starts one."""
    form = ReplayForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            actions.start_replay(**form.cleaned_data, topic="", by=request.user)
        except ConsoleError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _("The replay starts."))
            return redirect("streams:replay-list")
    values = {"form": form, **_page(request, queries.replays())}
    if is_htmx(request) and request.method == "GET":
        return render(request, "streaming/_replay_table.html", values)
    return render(request, "streaming/replay_list.html", values, status=422 if form.errors else 200)


@require_POST
def replay_stop(request: SignedInRequest, pk: int) -> HttpResponse:
    """Stop a replay; what was sent stays."""
    actions.stop_replay(pk, by=request.user)
    messages.success(request, _("The replay stops."))
    return redirect("streams:replay-list")


@require_GET
def overview_line(request: SignedInRequest) -> HttpResponse:
    """Predictions a second, as a line that frames keep drawing."""
    return render(request, "streaming/_overview_line.html", queries.predictions_by_second())
