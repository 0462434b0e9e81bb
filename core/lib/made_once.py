"""Rows that keep the `Idempotency-Key` of the call that made them.

`core.lib.idempotency` gives the first answer again. When the process died between the row and that answer
there is none: then the row tells, for as long as an answer is kept.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone

from core.lib import idempotency

Row = TypeVar("Row", bound=Model)


def made_once(
    rows: QuerySet[Row], key: str, make: Callable[[], Row], *, is_same: Callable[[Row], bool]
) -> tuple[Row, bool]:
    """What `make` makes, or the row that an earlier call with this key made in the last day; and whether it
    is new.

    rows: of the one who calls, of a model with `idempotency_key` and `requested_at`; `make` writes the key,
    and a constraint holds it once for each owner. Raises what `make` raises, and InvalidRequest for a key
    whose first call was another one.
    """
    if not key:
        return make(), True
    _free(rows, key)
    before = _before(rows, key)
    if before is None:
        try:
            with transaction.atomic():
                return make(), True
        except IntegrityError:  # the same call came twice at once
            before = _before(rows, key)
            if before is None:
                raise
    if not is_same(before):
        raise idempotency.used_otherwise()
    return before, False


def _before(rows: QuerySet[Row], key: str) -> Row | None:
    return rows.filter(idempotency_key=key).first()


def _free(rows: QuerySet[Any], key: str) -> None:
    """After a day it is another wish."""
    since = timezone.now() - timedelta(seconds=idempotency.KEPT_S)
    rows.filter(idempotency_key=key, requested_at__lt=since).update(idempotency_key="")
