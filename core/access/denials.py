"""Refusals in the audit trail, without letting anybody flood it: one for each person, route and minute."""

from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone

from core.audit import actions as audit
from core.audit import queries

EVERY = timedelta(minutes=1)


def note(request: HttpRequest) -> None:
    """Record that this request was refused, unless the same one was within the last minute."""
    route = request.resolver_match.view_name if request.resolver_match else request.path[:200]
    since = timezone.now() - EVERY
    if queries.has_entry("access.deny", route, by=request.user, since=since):
        return
    audit.record(
        "access.deny", route, by=request.user, after={"method": request.method, "path": request.path[:500]}
    )
