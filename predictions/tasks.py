"""The worker's half of watching for drift: look what is complete, judge it, forget what is old."""

from operator import attrgetter

from celery import shared_task
from django.utils import timezone

from core.lib import retention
from models_registry import queries as registry
from models_registry.queries import Champion
from predictions import loops, partitions
from predictions.drift import alarms, queries, watches
from predictions.models import DriftRules, DriftWatch, DriftWindow, ErasedPrediction, UnansweredPrediction

# Behind a long queue every look would add one more.
MESSAGE_EXPIRES_S = 60


@shared_task
def look_for_drift() -> None:
    """Send each champion whose next window is complete to be judged. Cheap when none is."""
    key = attrgetter("model")
    loops.DRIFT.each(registry.champions(), _look, key=key, about=key)
    alarms.settle_unwatched()


def _look(champion: Champion) -> None:
    rules = queries.rules(champion.model)
    if rules.is_watched:
        for watch in watches.of(champion):
            watches.begin_with_the_reign(watch, champion.since)
            if _has_work(watch, rules, is_own=watch.is_demo == champion.is_demo):
                judge_windows.apply_async((watch.pk,), expires=MESSAGE_EXPIRES_S)


def _has_work(watch: DriftWatch, rules: DriftRules, *, is_own: bool) -> bool:
    """A complete window, or a reference to fetch, unless that has just failed."""
    if watch.next_attempt_at > timezone.now():
        return False
    if is_own and not watch.reference_sha256:
        return True
    filled = queries.filling(watch, rules)
    return queries.is_complete(filled.n, filled.oldest, rules)


@shared_task
def judge_windows(watch_id: int) -> None:
    """Judge all that is complete; does nothing while another worker does the same."""
    from predictions.drift import windows  # scipy and pyarrow: only the process that judges needs them

    watch = DriftWatch.objects.defer("summary").filter(pk=watch_id)
    is_more = loops.WINDOWS.each(
        watch, lambda watch: windows.judge_waiting(watch.pk), key=str, about=attrgetter("model")
    )
    if any(is_more):
        judge_windows.delay(watch_id)


@shared_task
def clear_old_drift() -> None:
    """Windows of long ago go; the bookmark stays."""
    before = retention.before("CONSOLE_DRIFT_KEEP_DAYS")
    if before is not None:
        retention.clear(DriftWindow.objects.filter(judged_at__lt=before))


@shared_task
def clear_old_predictions() -> None:
    """Whole days of predictions go; and ids that were remembered so that Kafka does not bring them back."""
    before = retention.before("CONSOLE_PREDICTIONS_KEEP_DAYS")
    if before is None:
        return
    partitions.drop_before(before.date())
    first = partitions.first_id(before.date())
    retention.clear(ErasedPrediction.objects.filter(pk__lt=first))
    retention.clear(UnansweredPrediction.objects.filter(pk__lt=first))
