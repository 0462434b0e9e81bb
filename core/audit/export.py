"""The audit trail as a file: CSV for spreadsheets, JSON lines for programs, sent while it is read."""

from collections.abc import Callable, Iterator

import orjson
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from core.audit import queries
from core.audit.models import AuditEntry
from core.lib import csv_out, downloads, json_out

COLUMNS = (
    "id",
    "at",
    "actor_name",
    "token_name",
    "action",
    "object_type",
    "object_id",
    "object_label",
    "before",
    "after",
    "remote_addr",
    "request_id",
    "upstream_id",
)


def response(request: HttpRequest, entries: QuerySet[AuditEntry], kind: str) -> StreamingHttpResponse:
    """All `entries` as a download. kind: a key of `KINDS`."""
    content_type, suffix, write = KINDS[kind]
    return downloads.response(request, write(entries), name=f"audit.{suffix}", content_type=content_type)


def _csv(entries: QuerySet[AuditEntry]) -> Iterator[bytes]:
    yield csv_out.lines([COLUMNS])
    for chunk in queries.in_chunks(entries):
        yield csv_out.lines(map(_cell, _values(entry).values()) for entry in chunk)


def _cell(value: object) -> object:
    return json_out.text(value) if isinstance(value, dict) else value


def _json_lines(entries: QuerySet[AuditEntry]) -> Iterator[bytes]:
    for chunk in queries.in_chunks(entries):
        yield b"".join(json_out.encode(_values(entry), option=orjson.OPT_APPEND_NEWLINE) for entry in chunk)


def _values(entry: AuditEntry) -> dict[str, object]:
    values = {name: getattr(entry, "pk" if name == "id" else name) for name in COLUMNS}
    return values | {"at": entry.at.isoformat()}


KINDS: dict[str, tuple[str, str, Callable[[QuerySet[AuditEntry]], Iterator[bytes]]]] = {
    "csv": ("text/csv; charset=utf-8", "csv", _csv),
    "jsonl": ("application/x-ndjson", "jsonl", _json_lines),
}
