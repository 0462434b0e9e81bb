"""Files of rows that nobody needs any more."""

from django.db.models import QuerySet

from core.lib import retention
from models_registry import queries as registry
from predictions.batch_models import OPEN, PredictionBatch
from predictions.batches import files


def clear_old() -> None:
    """Batches that ended long ago, with their files; files without a batch, and what an end left behind."""
    before = retention.before("CONSOLE_BATCHES_KEEP_DAYS")
    if before is not None:
        remove(PredictionBatch.objects.filter(ended_at__lt=before))
    known = dict(PredictionBatch.objects.values_list("pk", "state"))
    for batch_id in files.orphans(set(known)):
        files.remove(batch_id)
    for batch_id, state in known.items():
        if state not in OPEN:
            files.forget_parts(batch_id)
    champions = registry.champions()
    files.forget_models({one.sha256 for one in champions} | {one.reference_sha256 for one in champions})


def remove(batches: QuerySet[PredictionBatch]) -> int:
    """Rows first: a file without one the next daily look removes. Returns how many there were."""
    ids = list(batches.values_list("pk", flat=True))
    PredictionBatch.objects.filter(pk__in=ids).delete()
    for batch_id in ids:
        files.remove(batch_id)
    return len(ids)
