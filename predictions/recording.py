"""From messages of the topic to rows: decode, copy into a staging table, insert what is new.

`handle` may see any message any number of times: ids decide, so every prediction is recorded exactly once.
One of the demonstration whose user is gone was on its way when that was removed: it is not recorded.
"""

import io
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
import structlog
from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from core.access.models import User
from predictions import partitions
from predictions.models import ErasedPrediction, Prediction, UnansweredPrediction

log = structlog.get_logger(__name__)

# Held shared while rows are inserted, alone while ids are marked or erased, so that neither misses the other.
LOCK = 0x70726564
# What no repetition mends: a value that does not fit its column or its constraint.
REFUSALS = (DataError, IntegrityError)


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """One prediction as the serving processes send it."""

    id: uuid.UUID
    request_id: str
    at: datetime
    model: str
    version: str
    user_id: int
    username: str
    source: Literal["form", "api"]
    row: int
    inputs: dict[str, Any]
    value: int | float | str
    label: str | None
    probabilities: dict[str, float] | None
    warnings: list[str]
    token_id: int | None = None
    is_demo: bool = False


class Marker(msgspec.Struct, forbid_unknown_fields=True):
    """Ids that their callers were refused."""

    kind: Literal["unanswered"]
    ids: list[uuid.UUID]


class Dead(NamedTuple):
    """A message that is neither, and why."""

    message: bytes
    reason: str


class Handled(NamedTuple):
    """n_rows: how many were new."""

    n_rows: int
    dead: list[Dead]


_record = msgspec.json.Decoder(Record)
_marker = msgspec.json.Decoder(Marker)


def handle(messages: Sequence[bytes]) -> Handled:
    """Record a batch in one transaction. Raises OperationalError, with nothing recorded."""
    records, markers, dead = _sorted_out(messages)
    partitions.ensure_for(record.id for record in records)
    try:
        n_rows = _store(records, markers)
    except REFUSALS as error:
        log.error("recorder.batch_refused", error=str(error), messages=len(messages))
        n_rows, refused = _one_by_one(records)
        _store([], markers)
        dead += refused
    return Handled(n_rows, dead)


def _sorted_out(messages: Sequence[bytes]) -> tuple[list[Record], list[uuid.UUID], list[Dead]]:
    records: list[Record] = []
    unanswered: list[uuid.UUID] = []
    dead: list[Dead] = []
    for message in messages:
        try:
            records.append(_decoded(message))
        except msgspec.MsgspecError as error:
            try:
                unanswered += _marker.decode(message).ids
            except msgspec.MsgspecError:
                dead.append(Dead(message, f"not a prediction record: {error}"))
    return records, unanswered, dead


def _decoded(message: bytes) -> Record:
    """PostgreSQL's text holds no NUL: it becomes the replacement character."""
    record = _record.decode(message)
    if b"\\u0000" in message:
        record = msgspec.convert(_without_nul(msgspec.to_builtins(record)), Record)
    return record


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(inner) for key, inner in value.items()}
    return [_without_nul(inner) for inner in value] if isinstance(value, list) else value


def _one_by_one(records: Sequence[Record]) -> tuple[int, list[Dead]]:
    n_rows = 0
    dead = []
    for record in records:
        try:
            n_rows += _store([record], [])
        except REFUSALS as error:
            dead.append(Dead(msgspec.json.encode(record), f"the database refused it: {error}"))
    return n_rows, dead


@transaction.atomic
def _store(records: Sequence[Record], unanswered: Sequence[uuid.UUID]) -> int:
    with connection.cursor() as cursor:
        if unanswered:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            _mark_unanswered(unanswered)
        else:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [LOCK])
        if not records:
            return 0
        cursor.execute(_STAGE)
        cursor.copy_expert("COPY predictions_staging (doc) FROM STDIN", _copy_lines(records))
        cursor.execute(_INSERT, [timezone.now()])
        return cursor.rowcount


def _mark_unanswered(ids: Sequence[uuid.UUID]) -> None:
    UnansweredPrediction.objects.bulk_create(
        [UnansweredPrediction(id=id_) for id_ in ids], ignore_conflicts=True
    )
    Prediction.objects.filter(id__in=ids).update(is_answered=False)


def _copy_lines(records: Sequence[Record]) -> io.BytesIO:
    """COPY's text format: a backslash of the JSON is written twice."""
    lines = (msgspec.json.encode(record).replace(b"\\", b"\\\\") + b"\n" for record in records)
    return io.BytesIO(b"".join(lines))


_STAGE = "CREATE TEMPORARY TABLE IF NOT EXISTS predictions_staging (doc jsonb) ON COMMIT DELETE ROWS"

_INSERT = f"""
INSERT INTO predictions_prediction (
    id, request_id, at, model, version, user_id, username, token_id, source, "row", inputs, value, label,
    probabilities, warnings, is_demo, is_answered, recorded_at, actual, actual_by, actual_at)
SELECT r.id, r.request_id, r.at, r.model, r.version, r.user_id, r.username, r.token_id, r.source, r."row",
    r.inputs, r.value, coalesce(r.label, ''), r.probabilities, r.warnings, r.is_demo,
    NOT EXISTS (SELECT 1 FROM {UnansweredPrediction._meta.db_table} u WHERE u.id = r.id),
    %s, NULL, '', NULL
FROM predictions_staging AS s, jsonb_to_record(s.doc) AS r(
    id uuid, request_id text, at timestamptz, model text, version text, user_id bigint, username text,
    token_id bigint, source text, "row" int, inputs jsonb, value jsonb, label text, probabilities jsonb,
    warnings jsonb, is_demo boolean)
WHERE NOT EXISTS (SELECT 1 FROM {ErasedPrediction._meta.db_table} e WHERE e.id = r.id)
    AND NOT (r.is_demo AND NOT EXISTS (SELECT 1 FROM {User._meta.db_table} u WHERE u.id = r.user_id))
ON CONFLICT (id) DO NOTHING
"""  # noqa: S608 - table names are the models' own
