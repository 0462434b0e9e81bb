"""Takes the demonstration away, app by app; what is done stays done, so that a second call goes on."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from console.demo import inputs, people, taking
from console.demo.errors import CannotBegin
from console.demo.models import TOPIC, Demonstration, DemoState, Step
from core.access import actions as access
from core.alerts import actions as alerts
from core.audit import actions as audit
from core.lib import live
from core.lib.errors import Conflict
from jobs import actions as jobs
from jobs import queries as job_queries
from models_registry import actions as models_registry
from pipelines import actions as pipelines
from predictions import actions as predictions
from predictions.batches import actions as batches
from predictions.drift import actions as drift
from streaming import actions as streaming

JOBS_END_WITHIN_S = 60
LOOKS_EVERY_S = 1.0

Say = Callable[[str], None]


def remove(say: Say) -> dict[str, int]:
    """Take everything away; how much of what.

    Raises CannotBegin while the demonstration is at work, ConsoleError when a part that it needs is away.
    """
    with _alone():
        people.revoke()
        counts = _remove_rows(say)
        _close(counts)
    live.publish(TOPIC)
    return counts


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody walks meanwhile, nor begins to."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [taking.LOCK])
    try:
        found = taking.current()
        if found is not None and found.is_walking:
            raise CannotBegin("The demonstration is at work. Wait for its end, or end it: `make down` does.")
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [taking.LOCK])


def _remove_rows(say: Say) -> dict[str, int]:
    """Runs first: one that is at work refuses, and nothing is lost then.

    What comes late makes nothing anew: predictions of users that are gone or deactivated are not recorded,
    drift is watched only where predictions are, and an alert comes from a window.
    """
    counts = {"runs": pipelines.remove_demo()}
    counts["versions archived"] = models_registry.remove_demo()
    streams = streaming.remove_demo()
    if began_at := _began_at():
        for name, n in streaming.remove_demo_predictions(began_at).items():
            streams[name] += n
    counts |= {"replays": streams["replays"], "windows": streams["windows"]}
    if streams["shared_windows"]:
        say(f"{streams['shared_windows']} windows hold other events too; they stay.")
    counts["jobs"] = _remove_jobs()
    counts["files of rows"] = batches.remove_demo()
    counts["users"], kept = access.remove_demo()
    if kept:
        say(f"Other rows still name {', '.join(kept)}: deactivated, not deleted.")
    counts["predictions"] = predictions.remove_demo()
    counts["drift windows"] = drift.remove_demo()
    counts["alerts"] = alerts.remove_demo()
    shutil.rmtree(inputs.folder(), ignore_errors=True)
    return counts


def _remove_jobs() -> int:
    """Those that run are cancelled, and go once they have ended."""
    n_gone = jobs.remove_demo()
    deadline = time.monotonic() + JOBS_END_WITHIN_S
    while job_queries.recent_jobs().filter(is_demo=True).exists():
        if time.monotonic() > deadline:
            raise Conflict("A job of the demonstration does not end. Are the worker and watch running?")
        time.sleep(LOOKS_EVERY_S)
        n_gone += jobs.remove_demo()
    return n_gone


def _began_at() -> datetime | None:
    began_at: datetime | None = Demonstration.objects.aggregate(at=Min("started_at"))["at"]
    return began_at


@transaction.atomic
def _close(counts: dict[str, int]) -> None:
    """The rows of the demonstrations stay, empty: `make up` begins no other by itself."""
    open_ones = Demonstration.objects.exclude(state=DemoState.REMOVED)
    if not open_ones.exists() and not any(counts.values()):
        return
    Step.objects.all().delete()
    open_ones.update(state=DemoState.REMOVED, holder=None, error="", ended_at=timezone.now())
    audit.record("demo.remove", "demonstration", by=None, after=counts)
