"""Pages that show topics. What only Kafka knows loads in its own box, so a slow broker slows one box."""

from datetime import UTC, datetime
from typing import Any, Final

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from core.lib.errors import InvalidRequest
from core.lib.htmx import is_htmx
from streaming import gateway, protection, reading, serializers, settings_help, topic_admin
from streaming.kafka_types import Read, Topic
from streaming.models import Stream

# Characters of one message in the list of them; alone it has as many as over REST.
LONGEST_KEY: Final = 80
LONGEST_HEADER: Final = 120
LONGEST_VALUE: Final = 2000
LONGEST_ALONE: Final = serializers.LONGEST_VALUE


@require_GET
def topic_list(request: SignedInRequest) -> HttpResponse:
    """All topics, with their messages and streams; the page has them at once with `?whole`, as a link asks
    for it where there are no scripts."""
    if is_htmx(request):
        return render(request, "streaming/_topic_table.html", {"rows": _topics()})
    values = {"rows": _topics()} if "whole" in request.GET else {}
    return render(request, "streaming/topic_list.html", values)


def _topics() -> list[tuple[Topic, list[str]]]:
    """Each with the names of its streams."""
    streams: dict[str, list[str]] = {}
    for name, topic in Stream.objects.order_by("name").values_list("name", "topic"):
        streams.setdefault(topic, []).append(name)
    return [(topic, streams.get(topic.name, [])) for topic in gateway.connect().topics()]


@require_GET
def topic_detail(request: SignedInRequest, name: str) -> HttpResponse:
    """One topic: partitions, groups, messages."""
    values = about(name)
    if is_htmx(request) or "whole" in request.GET:
        values["topic"] = gateway.connect().topic(name)
    template = "streaming/_partition_table.html" if is_htmx(request) else "streaming/topic_detail.html"
    return render(request, template, values)


@require_GET
def topic_settings(request: SignedInRequest, name: str) -> HttpResponse:
    """Its configuration as Kafka has it: the inside of a box."""
    values = about(name)
    found = topic_admin.connect().settings(name)
    values["rows"] = [
        (one, settings_help.help_of(one.name), settings_help.docs_of(one.name)) for one in found
    ]
    return render(request, "streaming/_setting_table.html", values)


def about(name: str) -> dict[str, Any]:
    """What every page of a topic says; not_changed: why nobody configures it or produces to it, or ""."""
    return {
        "name": reading.topic_name(name),
        "streams": Stream.objects.filter(topic=name).order_by("name"),
        "not_changed": protection.why_not_changed(name),
    }


@require_GET
def topic_messages(request: SignedInRequest, name: str) -> HttpResponse:
    """Messages read from a place: the inside of a box."""
    given = request.GET
    values = about(name)
    reading.check_may_read(request.user, name)
    try:
        start, limit = reading.start(given.get("from") or "latest"), reading.limit(given.get("limit") or "20")
        found = gateway.connect().messages(name, start=start, limit=limit)
    except InvalidRequest as error:
        values["fault"] = error.message
    else:
        values["problem"] = found.problem
        values["rows"] = [_row(read, is_alone=limit == 1) for read in reversed(found.read)]
    return render(request, "streaming/_message_table.html", values)


def _row(read: Read, *, is_alone: bool) -> dict[str, Any]:
    """A message as the page draws it; one that was asked for alone has more of its value."""
    shown = serializers.shown
    value = shown(read.value, read.value_bytes, longest=LONGEST_ALONE if is_alone else LONGEST_VALUE)
    headers = [(name, shown(data, longest=LONGEST_HEADER)) for name, data in read.headers]
    return {
        "partition": read.partition,
        "offset": read.offset,
        "at": _moment(read.at_ms),
        "key": shown(read.key, read.key_bytes, longest=LONGEST_KEY),
        "headers": headers,
        "has_odd_names": read.has_odd_names,
        "value": value,
        "has_more": not is_alone and value is not None and value["is_cut"],
    }


def _moment(at_ms: int | None) -> datetime | None:
    """None also for a time that no calendar has: senders write what they like."""
    try:
        return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
