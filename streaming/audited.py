"""The audit entry of a change that Kafka makes while somebody waits for the answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from core.access.models import User
from core.audit.actions import record
from core.lib.errors import Unavailable


@contextmanager
def audited(
    action: str, name: str, *, by: User, before: dict | None = None, after: dict | None = None
) -> Iterator[None]:
    """Write the entry, then let the change be made: what the trail does not take is not done.

    The entry goes with a change that Kafka refuses. It stays, and a second one says so, where nobody knows
    whether Kafka has made it.
    """
    unknown: Unavailable | None = None
    with transaction.atomic():
        record(action, name, by=by, before=before, after=after)
        try:
            yield
        except Unavailable as error:
            unknown = error
    if unknown is not None:
        kind = action.partition(".")[0]
        record(f"{kind}.not_confirmed", name, by=by, after={"change": action, "error": unknown.message})
        raise unknown
