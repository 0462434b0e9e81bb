"""The audit entries of a change that Kafka makes while somebody waits for the answer."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from core.access.models import User
from core.audit.actions import record
from core.lib.errors import ConsoleError, Unavailable


@contextmanager
def audited(
    action: str, name: str, *, by: User, before: dict | None = None, after: dict | None = None
) -> Iterator[None]:
    """Commit the entry, then let the change be made: what the trail does not take is not done.

    Nothing takes the entry back, not even the end of this process, and no transaction is open while Kafka
    works: call it in none. A second entry says that Kafka refused the change, or that nobody knows whether it
    has made it.
    """
    with transaction.atomic():
        record(action, name, by=by, before=before, after=after)
    try:
        yield
    except ConsoleError as error:
        kind = action.partition(".")[0]
        outcome = "not_confirmed" if isinstance(error, Unavailable) else "refused"
        record(f"{kind}.{outcome}", name, by=by, after={"change": action, "error": error.message})
        raise
