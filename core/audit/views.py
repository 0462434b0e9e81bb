"""Pages of the audit trail: the list with its filters, one entry, the export, the entries of one object."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from core.audit import actions, diff, export, objects, queries, visibility
from core.audit.forms import OLDEST_FIRST, Cursor, EntryFilters, ObjectName
from core.audit.models import AuditEntry
from core.lib import paging
from core.lib.errors import InvalidRequest
from core.lib.templatetags.numbers import whole

EXPORT_LIMIT = 100_000


@require_GET
def entry_list(request: HttpRequest) -> HttpResponse:
    """The trail, newest first, filtered by what the URL says."""
    form = EntryFilters(request.GET)
    filters = form.cleaned_data if form.is_valid() else {}
    position = _position(request)
    is_oldest_first = position["order"] == OLDEST_FIRST
    page = queries.page(queries.matching(filters), after=position["cursor"], is_oldest_first=is_oldest_first)
    links = paging.links(request, "cursor", page.next_cursor)
    values = {
        "form": form,
        "entries": page.entries if form.is_valid() else [],
        "page": links,
        "chips": _chips(request, form),
        "known_actions": queries.known_actions(),
        "query": links["filters"],
        "is_oldest_first": is_oldest_first,
        "is_filtered": bool(_chips(request, form)),
    }
    status = 200 if form.is_valid() else 422
    if request.headers.get("HX-Target", "").endswith("entries"):
        return render(request, "audit/_entry_table.html", values, status=status)
    return render(request, "audit/entry_list.html", {**values, "chain": queries.chain()}, status=status)


def _position(request: HttpRequest) -> dict[str, Any]:
    form = Cursor(request.GET)
    form.full_clean()
    return {"cursor": form.cleaned_data.get("cursor"), "order": form.cleaned_data.get("order")}


def _chips(request: HttpRequest, form: EntryFilters) -> list[dict[str, str]]:
    """The filters that are set, each with the URL that drops it."""
    return [
        {
            "label": str(field.label),
            "value": request.GET[name],
            "url": f"?{_query_without(request.GET, name, 'cursor').urlencode()}",
        }
        for name, field in form.fields.items()
        if request.GET.get(name)
    ]


def _query_without(query: QueryDict, *names: str) -> QueryDict:
    """The same query, less these names and everything empty."""
    kept = query.copy()
    for name in [*names, *(name for name, value in query.items() if not value)]:
        kept.pop(name, None)
    return kept


@require_GET
def entry_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One entry, with what changed, and the seal over it."""
    entry = get_object_or_404(AuditEntry, pk=pk)
    changes = diff.changes(entry.before, entry.after)
    values = {
        "entry": entry,
        "changes": changes,
        "page_url": objects.page_of(entry),
        "seal": queries.seal_of(entry),
    }
    return render(request, "audit/entry_detail.html", values)


@require_GET
def entry_export(request: HttpRequest) -> HttpResponseBase:
    """The filtered trail as a file; that somebody took it is itself recorded."""
    kind = request.GET.get("format", "csv")
    if kind not in export.KINDS:
        raise Http404
    filters = EntryFilters(request.GET).filters_or_raise()
    entries = queries.matching(filters)
    if len(entries.values_list("pk")[: EXPORT_LIMIT + 1]) > EXPORT_LIMIT:
        message = _("More than %(limit)s entries match. Narrow the time range and export again.")
        raise InvalidRequest(message % {"limit": whole(EXPORT_LIMIT)})
    asked = {name: value for name, value in filters.items() if value not in (None, "")}
    taken = actions.record("audit.export", kind, by=request.user, after={"filters": asked})
    return export.response(request, entries.filter(pk__lte=taken.pk), kind)


@require_GET
def for_object(request: HttpRequest) -> HttpResponse:
    """A fragment: what happened to the object that `type` and `id` name, for whoever may see the object."""
    name = ObjectName(request.GET)
    if not name.is_valid():
        raise Http404
    visibility.check(request.user, name.cleaned_data["type"])
    entries = queries.for_object(name.cleaned_data["type"], name.cleaned_data["id"])
    return render(request, "audit/_for_object.html", {"entries": entries})
