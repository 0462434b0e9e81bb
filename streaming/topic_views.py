"""Pages of topics. What only Kafka knows loads in its own box, so a slow broker slows one box."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from core.access.http import SignedInRequest
from core.lib.errors import InvalidRequest
from core.lib.htmx import is_htmx
from streaming import gateway, reading, serializers
from streaming.models import Stream


@require_GET
def topic_list(request: SignedInRequest) -> HttpResponse:
    """All topics, with their messages and streams."""
    if not is_htmx(request):
        return render(request, "streaming/topic_list.html")
    streams: dict[str, list[str]] = {}
    for name, topic in Stream.objects.order_by("name").values_list("name", "topic"):
        streams.setdefault(topic, []).append(name)
    rows = [(topic, streams.get(topic.name, [])) for topic in gateway.connect().topics()]
    return render(request, "streaming/_topic_table.html", {"rows": rows})


@require_GET
def group_list(request: SignedInRequest) -> HttpResponse:
    """Consumer groups with their lag, of all topics or of one: the inside of a box."""
    groups = gateway.connect().groups(topic=request.GET.get("topic", ""))
    return render(request, "streaming/_group_table.html", {"groups": groups})


@require_GET
def topic_detail(request: SignedInRequest, name: str) -> HttpResponse:
    """One topic: partitions, groups, messages."""
    values: dict[str, Any] = {"name": reading.topic_name(name)}
    if is_htmx(request):
        values["topic"] = gateway.connect().topic(name)
        return render(request, "streaming/_partition_table.html", values)
    values["streams"] = Stream.objects.filter(topic=name).order_by("name")
    return render(request, "streaming/topic_detail.html", values)


@require_GET
def topic_messages(request: SignedInRequest, name: str) -> HttpResponse:
    """Messages read from a place: the inside of a box."""
    given = request.GET
    values: dict[str, Any] = {"name": reading.topic_name(name)}
    reading.check_may_read(request.user, name)
    try:
        start, limit = reading.start(given.get("from") or "latest"), reading.limit(given.get("limit") or "20")
        found = gateway.connect().messages(name, start=start, limit=limit)
    except InvalidRequest as error:
        values["fault"] = error.message
    else:
        values["rows"] = [serializers.message(read) for read in reversed(found)]
    return render(request, "streaming/_message_table.html", values)
