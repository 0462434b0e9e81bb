"""Reads of files of rows, and of their results."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import csv_out, edge
from core.lib.errors import Conflict, NotFound
from core.lib.hits import Hit
from predictions.batch_models import PredictionBatch
from predictions.batches import files, parts
from predictions.models import ErasedPrediction

HITS = 5


def of_user(user: User) -> QuerySet[PredictionBatch]:
    """The user's own, newest first."""
    return PredictionBatch.objects.filter(requested_by=user).order_by("-pk")


def visible_to(user: User) -> QuerySet[PredictionBatch]:
    """Everybody's for those who may see them, else one's own; newest first."""
    is_all = policy.allows(user, "predictions.see_all")
    return PredictionBatch.objects.order_by("-pk") if is_all else of_user(user)


def batch(batch_id: uuid.UUID, *, by: User, model: str = "") -> PredictionBatch:
    """One that the user may see. Raises NotFound."""
    rows = visible_to(by).filter(model=model) if model else visible_to(by)
    found = rows.filter(pk=batch_id).first()
    if found is None:
        raise NotFound(_("There is no such file, or it is not yours."))
    return found


def is_kept(request_id: str, *, model: str, by: User) -> bool:
    """Whether the file that a prediction of source "batch" was in is still there for the user."""
    return visible_to(by).filter(model=model, pk=request_id).exists()


def result(found: PredictionBatch) -> Iterator[bytes]:
    """The result as CSV, without what was erased since. Raises Conflict, NotFound."""
    if found.is_open:
        raise Conflict(_("This file is still being worked on. Ask again once it has ended."))
    path = files.result(found.pk)
    if not path.is_file():
        raise NotFound(_("There is no result: no row was answered, or it was cleared away."))
    erased = _erased(found)
    return _without(path, erased, found.columns) if erased else _as_it_is(path)


def _erased(found: PredictionBatch) -> set[bytes]:
    """Whoever made them: a person who is gone is the owner of no file, and their predictions stay erased."""
    since = ErasedPrediction.objects.filter(model=found.model, erased_at__gte=found.requested_at)
    return {str(pk).encode() for pk in since.values_list("pk", flat=True).iterator()}


def _as_it_is(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from files.pieces_of(file)


def _without(path: Path, erased: set[bytes], columns: list[str]) -> Iterator[bytes]:
    """Of an erased prediction the number of its row stays, and that it was erased."""
    blank = [""] * (len(parts.OWN_COLUMNS) - 2)
    rest = csv_out.lines([[*blank, _("erased"), *[""] * len(columns)]])
    piece = bytearray()
    with path.open("rb") as file:
        for number, id_, record in _records(file):
            piece += number + b"," + rest if id_ in erased else record
            if len(piece) >= files.PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    yield bytes(piece)


def _records(file: IO[bytes]) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Number, id and text of each line, as csv_out made it; csv.reader would refuse a long cell."""
    record, n_quotes = bytearray(), 0
    for line in file:
        record += line
        n_quotes += line.count(b'"')
        if n_quotes % 2 == 0:  # no cell goes on in the next line
            number, id_, _rest = bytes(record).split(b",", 2)
            yield number, id_, bytes(record)
            record, n_quotes = bytearray(), 0


def search(text: str, user: User) -> list[Hit]:
    """Files that the user may see: by id, which their predictions name too, or by name."""
    id_ = edge.uuid_or_none(text)
    found = visible_to(user).filter(Q(pk=id_) if id_ is not None else Q(file_name__icontains=text))
    return [Hit(str(row), row.get_absolute_url(), _("file of rows"), "predict") for row in found[:HITS]]
