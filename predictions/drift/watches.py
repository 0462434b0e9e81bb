"""What is watched of a champion: one watch for each version that reigns, and where its windows begin."""

from datetime import datetime

from models_registry.queries import Champion
from predictions.drift import queries
from predictions.models import DriftWatch


def of(champion: Champion) -> list[DriftWatch]:
    """Without their summaries. A demonstration's predictions of a model that is none are kept apart."""
    return [
        DriftWatch.objects.defer("summary").get_or_create(
            model=champion.model, version=champion.version, is_demo=is_demo
        )[0]
        for is_demo in ([True] if champion.is_demo else [False, True])
    ]


def begin_with_the_reign(watch: DriftWatch, since: datetime) -> None:
    """What was recorded before its version became champion is in no window: it says nothing of today."""
    rows = queries.waiting(watch).order_by("arrival")
    first = rows.values_list("recorded_at", flat=True).first()
    if first is None or first >= since:
        return
    last = rows.filter(recorded_at__lt=since).values_list("arrival", flat=True).last()
    # Whoever judges has the row locked and may be further by now.
    DriftWatch.objects.filter(pk=watch.pk, bookmark__lt=last).update(bookmark=last)
    watch.refresh_from_db(fields=["bookmark"])
