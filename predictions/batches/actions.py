"""The click's half of files of rows: bring one, cancel it, remove it."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import idempotency, live
from core.lib.errors import Conflict, InvalidRequest, NotFound
from core.lib.ids import uuid7
from predictions.batch_models import OPEN, BatchState, PredictionBatch
from predictions.batches import clearing, files, queries, tables, tasks
from predictions.serving.served import Served

LONGEST_NAME = 255


@dataclass(frozen=True)
class Upload:
    """What somebody sends. key: the call's Idempotency-Key, or empty."""

    name: str
    pieces: Iterable[bytes]
    key: str = ""


@dataclass(frozen=True)
class Made:
    """A batch, and whether this call made it or one before with the same key."""

    batch: PredictionBatch
    is_new: bool


def start_batch(served: Served, upload: Upload, *, by: User) -> Made:
    """Keep the file and note the wish to have its rows predicted by whoever is champion then.

    Raises InvalidRequest for a file that cannot be read, TooLarge, Conflict where too many wait already.
    """
    model = served.ref.model
    policy.check(by, "predict", model)
    if upload.key:
        idempotency.check_key(upload.key)
    else:
        _check_open(by)
    batch_id, is_kept = uuid7(), False
    try:
        kept = files.keep_upload(batch_id, upload.pieces)
        before = _before(model, upload.key, kept, by)
        if before is None:
            looked_at = _looked_at(batch_id, served)
            try:
                made = Made(_noted(batch_id, served, upload, kept, looked_at, by), is_new=True)
                is_kept = True
                return made
            except IntegrityError:  # the same call came twice at once
                before = _before(model, upload.key, kept, by)
                if before is None:
                    raise
        return Made(before, is_new=False)
    finally:
        if not is_kept:
            files.remove(batch_id)


def _check_open(by: User) -> None:
    most = settings.CONSOLE_BATCHES_MOST_OPEN
    if PredictionBatch.objects.filter(requested_by=by, state__in=OPEN).count() >= most:
        raise Conflict(_("%(n)d files of yours wait or run already: wait, or cancel one.") % {"n": most})


def _before(model: str, key: str, kept: files.Kept, by: User) -> PredictionBatch | None:
    """What the first call with this key made. Raises InvalidRequest when that brought another file."""
    if not key:
        return None
    found = PredictionBatch.objects.filter(requested_by=by, model=model, idempotency_key=key).first()
    if found is not None and found.sha256 != kept.sha256:
        raise idempotency.used_otherwise()
    return found


@transaction.atomic
def _noted(
    batch_id: uuid.UUID,
    served: Served,
    upload: Upload,
    kept: files.Kept,
    looked_at: tuple[tables.Format, tables.Table],
    by: User,
) -> PredictionBatch:
    _check_open(by)
    format_, table = looked_at
    batch = PredictionBatch.objects.create(
        id=batch_id,
        model=served.ref.model,
        requested_by=by,
        username=by.get_username(),
        token_id=by.token_id,
        idempotency_key=upload.key,
        language=translation.get_language() or "",
        file_name=_plain_name(upload.name),
        format=format_,
        sha256=kept.sha256,
        size_bytes=kept.size_bytes,
        columns=table.columns,
        unused=table.unused,
        is_demo=by.is_demo,
    )
    after = {"model": batch.model, "file": batch.file_name, "sha256": batch.sha256, "bytes": batch.size_bytes}
    audit.record("batch.start", batch, by=by, after=after)
    tasks.run_batch.delay_on_commit(str(batch.pk))
    live.publish("batches", [batch.pk])
    return batch


def _looked_at(batch_id: uuid.UUID, served: Served) -> tuple[tables.Format, tables.Table]:
    """Raises InvalidRequest with each column that does not fit."""
    path = files.upload(batch_id)
    format_ = tables.format_of(path)
    try:
        return format_, tables.opened(path, format_, served.spec)
    except tables.FileRefused as error:
        faults = [{"field": column or "file", "message": message} for column, message in error.faults]
        raise InvalidRequest(faults[0]["message"], errors=faults) from error


def _plain_name(name: str) -> str:
    """Without folders, and what no page or database shows."""
    plain = "".join(c for c in PurePath(name.replace("\\", "/")).name if c.isprintable())
    return plain.encode(errors="replace").decode()[-LONGEST_NAME:] or "file"


@transaction.atomic
def cancel_batch(batch_id: uuid.UUID, *, by: User) -> PredictionBatch:
    """Have the worker stop; what was predicted stays, and can be taken away. Raises NotFound, Conflict."""
    batch = _own(batch_id, by)
    if not batch.is_open:
        raise Conflict(_("This file has ended already."))
    batch.is_cancel_asked = True
    if batch.state == BatchState.QUEUED:  # no worker has begun, or the first will find it ended
        batch.state, batch.ended_at, batch.next_attempt_at = BatchState.CANCELLED, timezone.now(), None
        transaction.on_commit(lambda: files.forget_parts(batch_id))
    batch.save(update_fields=["is_cancel_asked", "state", "ended_at", "next_attempt_at"])
    audit.record("batch.cancel", batch, by=by, after={"predicted": batch.n_predicted})
    live.publish("batches", [batch.pk])
    return batch


@transaction.atomic
def remove_batch(batch_id: uuid.UUID, *, by: User) -> None:
    """Its row and files go for good; predictions stay. Raises NotFound, Conflict while it is open."""
    batch = _own(batch_id, by)
    if batch.is_open:
        raise Conflict(_("This file is still being worked on: cancel it first."))
    audit.record("batch.remove", batch, by=by, before={"model": batch.model, "file": batch.file_name})
    batch.delete()
    transaction.on_commit(lambda: files.remove(batch_id))
    live.publish("batches", [batch_id])


def _own(batch_id: uuid.UUID, by: User) -> PredictionBatch:
    policy.check(by, "predict")
    queries.batch(batch_id, by=by)
    found = PredictionBatch.objects.select_for_update().filter(pk=batch_id, requested_by=by).first()
    if found is None:
        raise NotFound(_("Only the person who brought a file may change it."))
    return found


def remove_demo() -> int:
    """Files of the demonstration's users, with what came of them; returns how many."""
    return clearing.remove(PredictionBatch.objects.filter(is_demo=True))
