"""Reads of files of rows, and of their results."""

import csv
import io
import uuid
from collections.abc import Iterator
from pathlib import Path

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib.errors import Conflict, NotFound
from predictions.batch_models import PredictionBatch
from predictions.batches import files, parts
from predictions.models import ErasedPrediction

LINES = 1_000


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


def result(found: PredictionBatch) -> Iterator[bytes]:
    """The result as CSV, without what was erased since. Raises Conflict, NotFound."""
    if found.is_open:
        raise Conflict(_("This file is still being worked on. Ask again once it has ended."))
    path = files.result(found.pk)
    if not path.is_file():
        raise NotFound(_("There is no result: no row was answered, or it was cleared away."))
    erased = _erased(found)
    return _without(path, erased, found.columns) if erased else _as_it_is(path)


def _erased(found: PredictionBatch) -> set[str]:
    since = ErasedPrediction.objects.filter(
        model=found.model, user_id=found.requested_by_id or 0, erased_at__gte=found.requested_at
    )
    return {str(pk) for pk in since.values_list("pk", flat=True)}


def _as_it_is(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from files.pieces_of(file)


def _without(path: Path, erased: set[str], columns: list[str]) -> Iterator[bytes]:
    """Of an erased prediction the number of its row stays, and that it was erased."""
    blank = [""] * (len(parts.OWN_COLUMNS) - 2)
    with path.open(newline="", encoding="utf-8") as text:
        buffer = io.StringIO()
        for number, line in enumerate(csv.reader(text)):
            is_erased = line[1] in erased
            kept = [line[0], *blank, _("erased"), *[""] * len(columns)] if is_erased else line
            csv.writer(buffer).writerow(kept)
            if number % LINES == 0:
                yield buffer.getvalue().encode()
                buffer = io.StringIO()
        yield buffer.getvalue().encode()
