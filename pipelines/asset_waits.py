"""What pipelines that assets start still wait for: changed assets and partitions, from Airflow into rows."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from operator import attrgetter
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from core.lib import live
from core.lib.aside import Unread
from pipelines import conditions, loops
from pipelines.asset_answers import QueuedAsset, WaitingPartition
from pipelines.asset_models import Asset
from pipelines.models import Pipeline

AT_ONCE = 20  # pipelines whose queue may be another now
IN_TURN = 1  # of the others: of a queue that somebody emptied, no event tells
MOST_PARTITIONS = 100  # kept of a pipeline
NAMES = ("name", "uri", "aliases")  # of an asset: by which conditions name it


def to_ask() -> list[Pipeline]:
    """Those whose queue may be another than it was, and one in turn."""
    rows = _that_wait().exclude(pk__in=loops.ASSET_QUEUES.waiting())
    due = list(rows.filter(queue_read_at=None)[:AT_ONCE])
    return due + list(rows.exclude(queue_read_at=None).order_by("queue_read_at", "pk")[:IN_TURN])


def _that_wait() -> QuerySet[Pipeline]:
    rows = Pipeline.objects.filter(gone_at=None, is_partitioned=False, asset_expression__isnull=False)
    return rows.only("asset_expression", "queued_assets")


def may_differ(asset_airflow_ids: Collection[int]) -> None:
    """These assets changed, or are named anew, or a run took that they changed: the queues of pipelines that
    name them are due.
    """
    assets = list(Asset.objects.filter(airflow_id__in=asset_airflow_ids).values(*NAMES))
    due = [
        pipeline.pk
        for pipeline in _that_wait()
        if any(leaf.fits(asset) for leaf in conditions.leaves(pipeline.asset_expression) for asset in assets)
    ]
    Pipeline.objects.filter(pk__in=due).update(queue_read_at=None)


@transaction.atomic
def save_queue(pipeline: Pipeline, found: Sequence[QueuedAsset]) -> None:
    """What changed since the pipeline last began."""
    assets = Asset.objects.in_bulk([one.asset_airflow_id for one in found], field_name="airflow_id")
    queued = [_queued(one, assets.get(one.asset_airflow_id)) for one in found]
    values = {"queued_assets": queued, "queue_read_at": timezone.now()}
    Pipeline.objects.filter(pk=pipeline.pk).update(**values)
    if queued != pipeline.queued_assets:
        live.publish("pipelines", [pipeline.pk])


def _queued(one: QueuedAsset, asset: Asset | None) -> dict[str, Any]:
    names = {"name": f"#{one.asset_airflow_id}", "uri": "", "aliases": []}
    if asset is not None:
        names = {"name": asset.name, "uri": asset.uri, "aliases": asset.aliases}
    return {**names, "at": one.at.isoformat()}


def has_partitions() -> bool:
    """Whether any pipeline may have some that wait, or is said to."""
    may = Q(gone_at=None, is_partitioned=True, asset_expression__isnull=False)
    return Pipeline.objects.filter(may | ~Q(waiting_partitions=[])).exists()


def save_partitions(found: Sequence[WaitingPartition | Unread]) -> None:
    """All that wait now."""
    read = loops.PARTITIONS.save(found, list, key=attrgetter("key"), is_all=True)
    now = timezone.now()
    waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in sorted(read, key=lambda one: (one.since or now, one.partition_key)):
        waiting[one.dag_id].append(
            {
                "partition_key": one.partition_key,
                "n_received": one.n_received,
                "n_required": one.n_required,
                "since": one.since.isoformat() if one.since else None,
            }
        )
    known = Pipeline.objects.exclude(waiting_partitions=[]) | Pipeline.objects.filter(pk__in=waiting)
    changes = {
        row.pk: waiting[row.pk][:MOST_PARTITIONS]
        for row in known.only("waiting_partitions")
        if row.waiting_partitions != waiting[row.pk][:MOST_PARTITIONS]
    }
    with transaction.atomic():
        for dag_id, partitions in changes.items():
            Pipeline.objects.filter(pk=dag_id).update(waiting_partitions=partitions)
        if changes:
            live.publish("pipelines", sorted(changes))
