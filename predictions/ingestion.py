"""From messages of the topic to rows: decode, copy into a staging table, insert what is new.

A message holds one record, or several, one a line: calls of the same moment travel together. `handle` may see
any message any number of times: ids decide, so every prediction is recorded exactly once.
One of the demonstration whose user is gone was on its way when that was removed: it is not recorded.
A record that does not fit is set aside, and all others are recorded.
"""

import io
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from django.db import connection
from django.utils import timezone
from msgspec import Meta

from core.access.models import User
from core.lib import aside, kafka, storable
from predictions import partitions
from predictions.loops import RECORDS
from predictions.models import ErasedPrediction, Prediction, UnansweredPrediction
from predictions.sealing import sealer

# Held shared while rows are inserted, alone while ids are marked or erased, so that neither misses the other.
LOCK = 0x70726564


# As wide as the columns: what the database alone refuses costs its batch a dozen transactions or two.
RequestId = Annotated[str, Meta(max_length=64)]
Model = Annotated[str, Meta(max_length=256)]
Version = Annotated[str, Meta(max_length=50)]
Username = Annotated[str, Meta(max_length=150)]
Row = Annotated[int, Meta(ge=0, lt=2**31)]
Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Record(msgspec.Struct, forbid_unknown_fields=True):
    """One prediction, opened. Earlier releases sent it like this, so the topic may still hold some."""

    id: uuid.UUID
    request_id: RequestId
    at: datetime
    model: Model
    version: Version
    user_id: Number
    username: Username
    source: Literal["form", "api", "batch"]
    row: Row
    inputs: dict[str, Any]
    value: int | float | str
    label: str | None
    probabilities: dict[str, float] | None
    warnings: list[str]
    token_id: Number | None = None
    is_demo: bool = False


class SealedRecord(msgspec.Struct, forbid_unknown_fields=True):
    """One prediction as the serving processes send it. sealed: a `Personal`."""

    id: uuid.UUID
    at: datetime
    model: Model
    version: Version
    source: Literal["form", "api", "batch"]
    row: Row
    value: int | float | str
    label: str | None
    probabilities: dict[str, float] | None
    is_demo: bool
    sealed: str


class Personal(msgspec.Struct, forbid_unknown_fields=True):
    """Who asked, and what."""

    request_id: RequestId
    user_id: Number
    username: Username
    token_id: Number | None
    inputs: dict[str, Any]
    warnings: list[str]


class Marker(msgspec.Struct, forbid_unknown_fields=True):
    """Ids that their callers were refused."""

    kind: Literal["unanswered"]
    ids: list[uuid.UUID]


class Item(NamedTuple):
    """A line that means something. place: where it lies in Kafka, as `lines` says."""

    place: str
    content: Record | Marker


class Dead(NamedTuple):
    """A line that was set aside, and why."""

    place: str
    message: bytes
    reason: str


class Handled(NamedTuple):
    """n_rows: how many were new."""

    n_rows: int
    dead: list[Dead]


_sealed_record = msgspec.json.Decoder(SealedRecord)
_personal = msgspec.json.Decoder(Personal)
_record = msgspec.json.Decoder(Record)
_marker = msgspec.json.Decoder(Marker)


def lines(place: str, content: bytes) -> dict[str, bytes]:
    """The records of a message by their places: topic/partition/offset, and /line where there are several."""
    found = kafka.lines(content)
    if len(found) == 1:
        return {place: content}
    return {f"{place}/{number}": line for number, line in enumerate(found)}


def handle(messages: Mapping[str, bytes]) -> Handled:
    """Record lines by their places, as `lines` names both, in one transaction if all fit.

    Raises what says that the database is away, with nothing recorded or all that was before.
    """
    items = aside.read(messages.items(), _meaning, key=lambda message: message[0])
    partitions.ensure_for(
        item.content.id for item in aside.readable(items) if isinstance(item.content, Record)
    )
    stored = RECORDS.save(items, _store, key=lambda item: item.place, about=_model)
    unfit = messages.keys() - {place for place, _is_new in stored}
    return Handled(sum(is_new for _place, is_new in stored), _dead(messages, unfit) if unfit else [])


def _model(item: Item) -> str:
    return item.content.model if isinstance(item.content, Record) else ""


def _dead(messages: Mapping[str, bytes], places: set[str]) -> list[Dead]:
    reasons = dict(RECORDS.rows().filter(key__in=places).values_list("key", "reason"))
    return [Dead(place, messages[place], reasons.get(place, "")) for place in messages if place in places]


def _meaning(message: tuple[str, bytes]) -> Item:
    place, content = message
    try:
        return Item(place, _opened(content))
    except msgspec.MsgspecError:
        if b'"sealed"' in content:
            raise
    try:
        return Item(place, _marker.decode(content))
    except msgspec.MsgspecError:
        return Item(place, _without_nuls(_record.decode(content), content))


def _opened(content: bytes) -> Record:
    """Raises MsgspecError, Unsealable."""
    outer = _sealed_record.decode(content)
    opened = sealer().open(outer.id, outer.sealed)
    inner = _personal.decode(opened)
    record = Record(
        id=outer.id,
        at=outer.at,
        model=outer.model,
        version=outer.version,
        source=outer.source,
        row=outer.row,
        value=outer.value,
        label=outer.label,
        probabilities=outer.probabilities,
        is_demo=outer.is_demo,
        request_id=inner.request_id,
        user_id=inner.user_id,
        username=inner.username,
        token_id=inner.token_id,
        inputs=inner.inputs,
        warnings=inner.warnings,
    )
    return _without_nuls(record, content, opened)


def _without_nuls(record: Record, *contents: bytes) -> Record:
    """PostgreSQL's text holds no NUL: it becomes the replacement character."""
    if any(b"\\u0000" in content for content in contents):
        return msgspec.convert(storable.everything(msgspec.to_builtins(record)), Record)
    return record


def _store(items: Sequence[Item]) -> list[tuple[str, bool]]:
    """Within a transaction. Returns of each item its place and whether it is a new row."""
    records = [item.content for item in items if isinstance(item.content, Record)]
    unanswered = [id_ for item in items if isinstance(item.content, Marker) for id_ in item.content.ids]
    with connection.cursor() as cursor:
        if unanswered:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            _mark_unanswered(unanswered)
        else:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [LOCK])
        new = _insert(cursor, records) if records else set()
    return [(item.place, _take(new, item.content)) for item in items]


def _take(new: set[uuid.UUID], content: Record | Marker) -> bool:
    """Whether it is the first of its id that is new."""
    is_new = isinstance(content, Record) and content.id in new
    if isinstance(content, Record):
        new.discard(content.id)
    return is_new


def _insert(cursor: Any, records: Sequence[Record]) -> set[uuid.UUID]:
    """Ids of those that were not there."""
    cursor.execute(_STAGE)
    cursor.copy_expert("COPY predictions_staging (doc) FROM STDIN", _copy_lines(records))
    cursor.execute(_INSERT, [timezone.now()])
    return {id_ for (id_,) in cursor.fetchall()}


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
    AND NOT (r.is_demo AND NOT EXISTS (
        SELECT 1 FROM {User._meta.db_table} u WHERE u.id = r.user_id AND u.is_active))
ON CONFLICT (id) DO NOTHING
RETURNING id
"""  # noqa: S608 - table names are the models' own
