"""Reading the audit trail: by filters, page by page, or all that happened to one object."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from core.audit import sealing
from core.audit.actors import NOBODY, Actor, actor_name
from core.audit.models import AuditEntry, AuditSeal
from core.lib import context

PAGE_SIZE = 50
CHUNK_SIZE = 1000


@dataclass(frozen=True)
class Page:
    """Some entries, and the id after which the next page starts; None on the last one."""

    entries: list[AuditEntry]
    next_cursor: int | None


@dataclass(frozen=True)
class Chain:
    """The newest seal, None while nothing is sealed, and how many entries wait for the next one."""

    head: sealing.Head | None
    n_waiting: int


def chain() -> Chain:
    """How far the trail is sealed."""
    head = sealing.head()
    entries = AuditEntry.objects.filter(pk__gt=head.up_to_id) if head else AuditEntry.objects.all()
    return Chain(head, entries.count())


def seal_of(entry: AuditEntry) -> AuditSeal | None:
    """The seal that holds the entry; None while it waits for one."""
    return AuditSeal.objects.defer("manifest").filter(up_to_id__gte=entry.pk).order_by("up_to_id").first()


def matching(filters: dict[str, Any]) -> QuerySet[AuditEntry]:
    """Entries that fit all given filters: the cleaned values of `forms.EntryFilters`, empty ones ignored.

    Ids grow as rows are added, so their order is the order of time, and pages stay right while rows arrive.
    """
    conditions = Q()
    for name, value in filters.items():
        if value not in (None, ""):
            conditions &= _CONDITIONS[name](value)
    return AuditEntry.objects.filter(conditions).order_by("-pk")


_CONDITIONS = {
    "actor": lambda value: Q(actor_name__iexact=value),
    "action": lambda value: Q(action=value) | Q(action__startswith=f"{value}."),
    "object_type": lambda value: Q(object_type=value),
    "object": lambda value: Q(object_id=value) | Q(object_label__icontains=value),
    "request_id": lambda value: Q(request_id=value),
    "since": lambda value: Q(at__gte=value),
    "until": lambda value: Q(at__lt=value),
}


def page(entries: QuerySet[AuditEntry], *, after: int | None, is_oldest_first: bool = False) -> Page:
    """The page of `entries` that follows the entry with the id `after`."""
    if is_oldest_first:
        entries = entries.order_by("pk")
    if after is not None:
        entries = entries.filter(pk__gt=after) if is_oldest_first else entries.filter(pk__lt=after)
    rows = list(entries[: PAGE_SIZE + 1])
    has_more = len(rows) > PAGE_SIZE
    return Page(rows[:PAGE_SIZE], rows[PAGE_SIZE - 1].pk if has_more else None)


def in_chunks(entries: QuerySet[AuditEntry]) -> Iterator[list[AuditEntry]]:
    """All entries, newest first, a query for each thousand: no cursor stays open for a slow reader."""
    chunk = list(entries[:CHUNK_SIZE])
    while chunk:
        yield chunk
        chunk = list(entries.filter(pk__lt=chunk[-1].pk)[:CHUNK_SIZE])


def for_object(object_type: str, object_id: str, *, limit: int = 50) -> list[AuditEntry]:
    """What happened to one object, newest first."""
    rows = AuditEntry.objects.filter(object_type=object_type, object_id=object_id)
    return list(rows.order_by("-pk")[:limit])


def has_entry(action: str, object_id: str, *, by: Actor, since: datetime) -> bool:
    """Whether `by`, or where nobody is signed in somebody at this address, did this to that since then."""
    rows = AuditEntry.objects.filter(action=action, object_id=object_id[:200], at__gte=since)
    name = actor_name(by)
    if name == NOBODY:
        rows = rows.filter(remote_addr=context.remote_addr.get() or None)
    return rows.filter(actor_name=name).exists()


def known_actions() -> list[str]:
    """Every action that was ever recorded. Skips from one to the next in the index of a large table."""
    with connection.cursor() as cursor:
        cursor.execute(_DISTINCT_ACTIONS)
        return [action for (action,) in cursor.fetchall()]


_DISTINCT_ACTIONS = """
WITH RECURSIVE known AS (
    (SELECT action FROM audit_auditentry ORDER BY action LIMIT 1)
    UNION ALL
    SELECT (SELECT action FROM audit_auditentry WHERE action > known.action ORDER BY action LIMIT 1)
    FROM known WHERE known.action IS NOT NULL
)
SELECT action FROM known WHERE action IS NOT NULL
"""
