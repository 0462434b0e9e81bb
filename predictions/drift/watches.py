"""What is watched of a champion: one watch for each version that reigns, and where its windows begin."""

from datetime import datetime

from models_registry.queries import Champion
from predictions.drift import queries
from predictions.models import DriftWatch, Prediction


def of(champion: Champion) -> list[DriftWatch]:
    """Without their summaries.

    The predictions of a demonstration are kept apart, also those of a champion that is not its own. They have
    a watch only while there are any: removed, the demonstration leaves none, and no look makes one anew.
    """
    own = [] if champion.is_demo else [_watch(champion, is_demo=False)]
    return own + _of_a_demonstration(champion)


def _of_a_demonstration(champion: Champion) -> list[DriftWatch]:
    recorded = Prediction.objects.filter(model=champion.model, version=champion.version, is_demo=True)
    if not recorded.exists():
        return []
    watch = _watch(champion, is_demo=True)
    if recorded.exists():
        return [watch]
    # Removed between the two looks, and its watch too, perhaps before this one was made.
    watch.delete()
    return []


def _watch(champion: Champion, *, is_demo: bool) -> DriftWatch:
    watches = DriftWatch.objects.defer("summary")
    return watches.get_or_create(model=champion.model, version=champion.version, is_demo=is_demo)[0]


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
