"""Pages of drift: models with their last verdicts, a model's windows, one window, the rules."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from core.access.http import SignedInRequest
from core.lib.errors import InvalidRequest
from core.lib.htmx import is_htmx
from core.lib.paging import page_of
from predictions.drift import actions, drawings, queries, words
from predictions.drift.forms import RulesForm
from predictions.models import DriftWindow

PAGE = 25
MOST_EVIDENCE = 6


@require_GET
def model_list(request: SignedInRequest) -> HttpResponse:
    """Champions with their last verdict, and how far the current window is."""
    rows = [
        {
            "standing": standing,
            "strip": drawings.strip_of_windows(standing.recent),
            "drifted": words.drifted_titles(standing.last) if standing.last else "",
        }
        for standing in queries.standings()
    ]
    template = "drift/_model_table.html" if is_htmx(request) else "drift/model_list.html"
    return render(request, template, {"rows": rows})


@require_GET
def model_detail(request: SignedInRequest, model: str) -> HttpResponse:
    """The last window by column with those before it as strips, and all windows."""
    page = page_of(request, queries.brief_windows(queries.known(model)), size=PAGE)
    newest = page["rows"][: queries.STRIP] if page["previous_url"] is None else None
    values = _head(model, newest) | {
        "windows": [{"window": row, "drifted": words.drifted_titles(row)} for row in page["rows"]],
        "page": page,
    }
    last = queries.windows(model).first()
    values |= {"last": last, "columns": _columns(last, values["recent"]) if last else []}
    template = "drift/_model_body.html" if is_htmx(request) else "drift/model_detail.html"
    return render(request, template, values)


def _head(model: str, newest: list[DriftWindow] | None = None) -> dict[str, Any]:
    """newest: the last windows, where they are at hand."""
    recent = queries.recent(model) if newest is None else newest
    standing = queries.standing(model, recent)
    return {
        "model": model,
        "standing": standing,
        "recent": recent,
        "rules": standing.rules if standing else queries.rules(model),
    }


def _columns(window: DriftWindow, recent: list[DriftWindow]) -> list[dict[str, Any]]:
    """recent: the window and those before it, newest first."""
    history = queries.columns_over_time(recent)
    return [drawings.column(one, history[one["name"]]) for one in window.columns]


@require_GET
def model_filling(request: SignedInRequest, model: str) -> HttpResponse:
    """A fragment: how far the current window is filled."""
    return render(request, "drift/_filling.html", _head(queries.known(model)))


@require_GET
def model_box(request: SignedInRequest, model: str) -> HttpResponse:
    """A fragment for other pages: the last verdict, and the way here."""
    values = _head(queries.known(model))
    last = values["recent"][0] if values["recent"] else None
    values |= {
        "last": last,
        "strip": drawings.strip_of_windows(values["recent"]),
        "drifted": words.drifted_titles(last) if last else "",
    }
    return render(request, "drift/_box.html", values)


@require_http_methods(["GET", "POST"])
def model_rules(request: SignedInRequest, model: str) -> HttpResponse:
    """The rules of a model, and the form that changes them."""
    rules = queries.rules(queries.known(model))
    form = RulesForm(request.POST if request.method == "POST" else None, instance=rules)
    if request.method == "POST" and form.is_valid():
        try:
            actions.change_rules(model, by=request.user, **form.changes())
        except InvalidRequest as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, _("The rules are changed; they hold from the next window on."))
            return redirect("drift:model-detail", model=model)
    values = {"model": model, "form": form, "rules": queries.rules(model)}
    return render(request, "drift/model_rules.html", values, status=422 if form.errors else 200)


@require_GET
def window_detail(request: SignedInRequest, model: str, pk: int) -> HttpResponse:
    """One window: every column with its numbers and both distributions."""
    window = queries.window(model, pk)
    columns = _columns(window, queries.before(window))
    values = {
        "model": model,
        "window": window,
        "columns": columns,
        "figures": [_figure(one) for one in columns],
        "drifted": words.drifted_titles(window),
    }
    return render(request, "drift/window_detail.html", values)


@require_GET
def window_evidence(request: SignedInRequest, model: str, pk: int) -> HttpResponse:
    """A fragment for the alert: the distributions of what drifted, with their numbers."""
    window = queries.window(model, pk)
    figures = [_figure(drawings.column(one)) for one in window.drifted_columns]
    values = {"window": window, "figures": figures[:MOST_EVIDENCE], "n_more": len(figures) - MOST_EVIDENCE}
    return render(request, "drift/_evidence.html", values)


def _figure(column: dict[str, Any]) -> dict[str, Any]:
    column |= {"shares": drawings.shares(column)}
    return {"column": column, "pair": drawings.pair(column["bins"]), "rows": drawings.rows(column["bins"])}
