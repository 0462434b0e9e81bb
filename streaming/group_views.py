"""Pages of consumer groups. A group is named in the query: its id may be any text."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods

from core.access.http import SignedInRequest
from core.lib.errors import Conflict, InvalidRequest, NotFound
from core.lib.htmx import is_htmx
from streaming import group_actions, groups, protection
from streaming.group_actions import Reset
from streaming.kafka_errors import busy_in_words
from streaming.resetting import Goal
from streaming.topic_forms import OffsetsForm


@require_GET
def group_list(request: SignedInRequest) -> HttpResponse:
    """Consumer groups with their lag, of all topics or of one: the inside of a box."""
    found = groups.connect().groups(topic=request.GET.get("topic", ""))
    values = {"groups": found.groups, "problem": found.problem}
    return render(request, "streaming/_group_table.html", values)


@require_GET
def group_detail(request: SignedInRequest) -> HttpResponse:
    """One group: members, offsets, lag. What Kafka knows loads in its own box."""
    name = _named(request.GET)
    values: dict[str, Any] = {"name": name, "is_own": bool(protection.why_not_of_group(name))}
    if is_htmx(request) or "whole" in request.GET:
        values["group"] = groups.connect().group(name)
    template = "streaming/_group_body.html" if is_htmx(request) else "streaming/group_detail.html"
    return render(request, template, values)


@require_http_methods(["GET", "POST"])
def group_offsets(request: SignedInRequest) -> HttpResponse:
    """Where the group is to go on: the form, what would become of each partition, and the button."""
    given = request.POST if request.method == "POST" else request.GET
    name = _named(given)
    group = groups.connect().group(name)
    is_asked = request.method == "POST" or "kind" in given
    form = OffsetsForm(given if is_asked else None, initial={"topic": next(iter(group.topics), "")})
    values: dict[str, Any] = {"name": name, "group": group, "form": form}
    status = 200
    if is_asked and form.is_valid():
        try:
            found = _reset(request, name, form, is_dry_run=request.method == "GET")
        except (InvalidRequest, Conflict, NotFound) as error:
            form.add_error(None, error.message)
            status = 409 if isinstance(error, Conflict) else 422
        else:
            if not found.is_dry_run:
                words = {"n": found.n_moved, "topic": found.topic}
                done = ngettext(
                    "%(n)d offset of “%(topic)s” is moved.",
                    "%(n)d offsets of “%(topic)s” are moved.",
                    found.n_moved,
                )
                messages.success(request, done % words)
                return redirect(_page_of(name))
            values["preview"] = found
    elif is_asked:
        status = 422
    return render(request, "streaming/group_offsets.html", values, status=status)


def _reset(request: SignedInRequest, name: str, form: OffsetsForm, *, is_dry_run: bool) -> Reset:
    given = form.cleaned_data
    value = given["value"] or 0
    if given["kind"] == "time":
        value = max(0, int(given["at"].timestamp() * 1000))
    return group_actions.reset_offsets(
        name,
        topic=given["topic"],
        goal=Goal(given["kind"], value),
        partitions=given["partitions"],
        is_dry_run=is_dry_run,
        seen=request.POST.get("before", ""),
        by=request.user,
    )


@require_http_methods(["GET", "POST"])
def group_delete(request: SignedInRequest) -> HttpResponse:
    """The offsets that go with the group, and the button."""
    name = _named(request.POST if request.method == "POST" else request.GET)
    if request.method == "POST":
        group_actions.delete_group(name, by=request.user)
        messages.success(request, _("The consumer group “%(name)s” is deleted.") % {"name": name[:100]})
        return redirect("streams:topic-list")
    group = groups.connect().group(name)
    values = {
        "name": name,
        "offsets": group.offsets,
        "kept": protection.why_not_of_group(name) or (busy_in_words() if group.is_busy else ""),
    }
    return render(request, "streaming/group_delete.html", values)


def _named(given: Any) -> str:
    """Raises NotFound: without a name there is no group."""
    name: str = given.get("group", "")
    if not name or "\x00" in name:
        raise NotFound(_("Kafka has no such consumer group."))
    return name


def _page_of(name: str) -> str:
    return f"{reverse('streams:group-detail')}?{urlencode({'group': name})}"
