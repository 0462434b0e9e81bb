"""Which demonstration a process walks, and that it alone does."""

import time
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from console.demo import steps
from console.demo.errors import CannotBegin
from console.demo.models import SILENT_AFTER, Demonstration, DemoState, Step
from console.demo.store import patiently
from core.lib.ids import uuid7

LOCK = 0x64656D6F  # who begins or removes a demonstration waits for others who do
LOOKS_EVERY_S = 1.0
FIRST_PATIENCE_S = 20.0  # before anything has begun nobody waits long for a database that is away


def take(holder: UUID | None = None) -> Demonstration:
    """The demonstration to go on with, or a new one, held by this process.

    Raises CannotBegin while another process is at work on it.
    """
    _wait_for_silence()
    return patiently(lambda: _take(holder or uuid7()))


def current() -> Demonstration | None:
    """The newest that was not removed."""
    return Demonstration.objects.exclude(state=DemoState.REMOVED).order_by("-pk").first()


def hold() -> None:
    """Until the transaction ends nobody else begins or removes a demonstration."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _wait_for_silence() -> None:
    """A process that was killed is silent from then on; one that lives is heard within seconds."""
    seen = patiently(current, patience_s=FIRST_PATIENCE_S)
    deadline = time.monotonic() + SILENT_AFTER.total_seconds() + LOOKS_EVERY_S
    while seen is not None and seen.is_walking:
        time.sleep(LOOKS_EVERY_S)
        now = patiently(current)
        is_alive = now is not None and now.pk == seen.pk and now.is_walking and now.alive_at > seen.alive_at
        if is_alive or time.monotonic() > deadline:
            raise CannotBegin(
                "The demonstration is running already; its page and `make status` show where it is."
            )
        seen = now


@transaction.atomic
def _take(holder: UUID) -> Demonstration:
    hold()
    found = current()
    if found is not None and found.holder == holder:
        return found
    if found is not None and found.is_walking:
        raise CannotBegin("Another process has just begun the demonstration.")
    found = found or Demonstration()
    found.state, found.holder, found.error = DemoState.RUNNING, holder, ""
    found.alive_at, found.ended_at = timezone.now(), None
    found.save()
    for number, act in enumerate(steps.ACTS, 1):
        Step.objects.get_or_create(demonstration=found, name=act.name, defaults={"number": number})
    return found
