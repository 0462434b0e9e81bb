"""The worker's half: cut windows of recorded predictions and judge them, each prediction in one window.

Rows are taken in the order of their `arrival`, not of their ids: those come from the clocks of the serving
processes, and a row that Kafka held back would lie before the bookmark, in no window at all. A window, its
alert and the bookmark are one transaction, so that a worker may die at any point and two may work at once.
Erased predictions are gone, those marked unanswered are left out: their callers asked again.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import structlog
from django.db import DataError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from core.lib import live
from core.lib.aside import in_words
from core.lib.errors import ConsoleError, Unavailable
from models_registry import queries as registry
from predictions.drift import alarms, queries
from predictions.ingestion import LOCK
from predictions.models import DriftRules, DriftWatch, DriftWindow, Prediction
from scoring.drift import reference as references
from scoring.drift.judge import judge
from scoring.drift.reference import ReferenceUnusable
from scoring.drift.shapes import FORMAT, Judgement, Limits, Reference
from scoring.spec_reading import SpecError, read_spec

log = structlog.get_logger(__name__)

MOST_WINDOWS = 50  # of one task; then it goes to the end of the queue
ASK_AGAIN_AFTER, ASK_UNUSABLE_AGAIN_AFTER = timedelta(seconds=30), timedelta(minutes=10)
# Judging 20,000 rows needs neither all of them as objects nor their other columns.
ROW = ("arrival", "at", "inputs", "value", "probabilities")


def judge_waiting(watch_id: int) -> bool:
    """Judge what is complete; True when there is more to do."""
    watch = DriftWatch.objects.get(pk=watch_id)
    if (watch.summary or {}).get("format") != FORMAT and not fetch_reference(watch):
        return False
    return all(next_window(watch_id) is not None for _ in range(MOST_WINDOWS))


# --- the reference


def fetch_reference(watch: DriftWatch) -> bool:
    """Sum up the version's frozen reference. False when it cannot be had; the row says why."""
    try:
        watch.reference_sha256, summary = _summary(watch)
        watch.summary, watch.error = msgspec.to_builtins(summary), ""
        with transaction.atomic():
            watch.save(update_fields=["summary", "reference_sha256", "error"])
    except (ConsoleError, ReferenceUnusable, SpecError, DataError) as error:
        is_away = isinstance(error, Unavailable)
        watch.summary, watch.error = None, in_words(error)
        watch.next_attempt_at = timezone.now() + (ASK_AGAIN_AFTER if is_away else ASK_UNUSABLE_AGAIN_AFTER)
        watch.save(update_fields=["error", "next_attempt_at"])
        log.warning("drift.no_reference", model=watch.model, version=watch.version, error=watch.error)
    live.publish("drift", [watch.model])
    return watch.summary is not None


def _summary(watch: DriftWatch) -> tuple[str, Reference]:
    champion = registry.champion(watch.model)
    if champion is None or champion.version != watch.version:
        raise ReferenceUnusable(f"{watch} is no champion any more")
    spec = read_spec(champion.spec_json)
    return champion.reference_sha256, references.read(registry.champion_reference(champion), spec)


# --- windows


def next_window(watch_id: int) -> DriftWindow | None:
    """Judge the next complete window; None when there is none, or another worker holds the watch."""
    horizon = _horizon()
    with transaction.atomic():
        held = DriftWatch.objects.select_for_update(skip_locked=True)
        watch = held.filter(pk=watch_id, summary__format=FORMAT).first()
        if watch is None:
            return None
        rules = queries.rules(watch.model)
        rows = _rows(queries.waiting(watch).filter(arrival__lte=horizon), rules.window_size)
        if not rules.is_watched or not queries.is_complete(
            len(rows), rows[0].recorded_at if rows else None, rules
        ):
            return None
        window = _judged(watch, rules, rows)
        window.save(force_insert=True)
        watch.bookmark = window.upto
        watch.save(update_fields=["bookmark"])
        alarms.tell(window)
    log.info("drift.judged", model=window.model, window=window.pk, n=window.n, verdict=window.verdict)
    return window


def _horizon() -> int:
    """The last arrival before which nothing can come any more: who records holds the lock meanwhile."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("SELECT last_value FROM predictions_arrival")
        return int(cursor.fetchone()[0])


def _rows(waiting: QuerySet[Prediction], n: int) -> list[Prediction]:
    return list(waiting.order_by("arrival").only(*ROW, "recorded_at")[:n])


def _judged(watch: DriftWatch, rules: DriftRules, rows: Sequence[Prediction]) -> DriftWindow:
    reference = msgspec.convert(watch.summary, Reference)
    limits = limits_of(rules)
    judgement = judge(reference, _columns(reference, rows), limits)
    return DriftWindow(
        model=watch.model,
        version=watch.version,
        is_demo=watch.is_demo,
        after=watch.bookmark,
        upto=rows[-1].arrival,
        since=min(row.at for row in rows),
        until=max(row.at for row in rows),
        n=judgement.n,
        n_reference=reference.n,
        verdict=judgement.verdict,
        columns=_stored(judgement),
        limits=msgspec.to_builtins(limits),
    )


def limits_of(rules: DriftRules) -> Limits:
    """The part of the rules that judging needs."""
    return Limits(**{name: getattr(rules, name) for name in Limits.__struct_fields__})


def _columns(reference: Reference, rows: Sequence[Prediction]) -> dict[str, list[Any]]:
    scores = [references.score_of(row.value, row.probabilities, reference.second_class) for row in rows]
    return {
        column.name: scores if column.is_score else [row.inputs.get(column.name) for row in rows]
        for column in reference.columns
    }


def _stored(judgement: Judgement) -> list[dict[str, Any]]:
    """Drifted columns first, then by strength."""
    ordered = sorted(judgement.columns, key=lambda one: (one.verdict != "drifted", -one.strength))
    stored: list[dict[str, Any]] = msgspec.to_builtins(ordered)
    return stored
