"""Questions that tasks ask people: the inbox, and one with the form that answers it."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from core.access import policy
from core.access.http import SignedInRequest
from core.lib.errors import InvalidRequest
from core.lib.htmx import is_htmx
from core.lib.paging import page_of
from pipelines import queries, run_changes
from pipelines.input_form import AnswerForm
from pipelines.views.common import age


@require_GET
def input_list(request: SignedInRequest) -> HttpResponse:
    """What waits for an answer, the longest first; `?show=closed` for what is over."""
    is_open = request.GET.get("show") != "closed"
    page = page_of(request, queries.inputs(is_open=is_open))
    template = "_input_list" if is_htmx(request) else "input_list"
    return render(request, f"pipelines/{template}.html", {"page": page, "is_open": is_open, **age()})


@require_http_methods(["GET", "POST"])
def input_detail(request: SignedInRequest, input_id: int) -> HttpResponse:
    """One question; whoever may run pipelines answers it here."""
    row = queries.input_request(input_id)
    if request.method == "GET":
        return _page(request, input_id, AnswerForm(row))
    policy.check(request.user, "pipelines.run", input_id)
    form = AnswerForm(row, request.POST)
    if form.is_valid():
        try:
            run_changes.answer_input(
                input_id, chosen=form.chosen(), params_input=form.conf(), by=request.user
            )
        except InvalidRequest as error:
            for fault in error.errors:
                form.add_fault(fault["field"], fault["message"])
        else:
            messages.success(request, _("Answered. Airflow gets it now."))
            return redirect("pipelines:input-list")
    return _page(request, input_id, form, status=422)


def _page(request: SignedInRequest, input_id: int, form: AnswerForm, *, status: int = 200) -> HttpResponse:
    row = queries.input_request(input_id)
    context = {"row": row, "is_asked": row.asks(request.user.get_username()), "form": form, **age()}
    return render(request, "pipelines/input_detail.html", context, status=status)
