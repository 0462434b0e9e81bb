"""What Airflow's JSON means of assets and of their events."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from core.lib.aside import name_in
from core.lib.times import moment


@dataclass(frozen=True)
class Asset:
    """What tasks make and pipelines wait for; both lists of {"dag_id", "task_id"}. changed_at: last event."""

    airflow_id: int
    name: str
    uri: str
    group: str
    producers: list[dict[str, str]]
    consumers: list[dict[str, str]]
    changed_at: datetime | None
    aliases: list[str] = field(default_factory=list)  # under which tasks made it

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"{self.airflow_id} {self.name}"


@dataclass(frozen=True)
class QueuedAsset:
    """An asset that changed since a pipeline which waits for several last began."""

    asset_airflow_id: int
    at: datetime


@dataclass(frozen=True)
class WaitingPartition:
    """A partition that some assets have, and others, which its pipeline waits for, have not.

    n_received, n_required: of the partitions of all its assets; several of one where that is rolled up.
    """

    dag_id: str
    partition_key: str
    n_received: int
    n_required: int
    since: datetime | None

    @property
    def key(self) -> str:
        """What it is called among all; several may be of one name."""
        return f"{self.dag_id} {self.partition_key}"


@dataclass(frozen=True)
class AssetEvent:
    """An asset changed. began: runs that took it, {"dag_id", "dag_run_id", "triggering"}; the last is false
    for those that began with a later one.

    dag_id, dag_run_id, task_id: of the task that made it; empty where something else did.
    partition_key: which partition of the asset changed; empty for none.
    """

    airflow_id: int
    asset_airflow_id: int
    at: datetime
    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    extra: dict[str, Any]
    began: list[dict[str, Any]]
    partition_key: str = ""

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"event {self.airflow_id}"


def asset_key(item: Any) -> str:
    return f"{item['id']} {item.get('name')}"


def event_key(item: Any) -> str:
    return f"event {item['id']}"


def asset(item: dict[str, Any]) -> Asset:
    feeds = [*item.get("scheduled_dags", []), *item.get("consuming_tasks", [])]
    return Asset(
        airflow_id=item["id"],
        name=item["name"],
        uri=item.get("uri") or "",
        group=item.get("group") or "",
        producers=_tasks_of(item.get("producing_tasks", [])),
        consumers=_tasks_of(feeds),
        changed_at=moment((item.get("last_asset_event") or {}).get("timestamp")),
        aliases=sorted(str(one["name"]) for one in item.get("aliases") or []),
    )


def queued_assets(answer: dict[str, Any]) -> list[QueuedAsset]:
    """In the order of time."""
    found = []
    for item in answer["queued_events"]:
        at = moment(item["created_at"])
        if at is not None:
            found.append(QueuedAsset(int(item["asset_id"]), at))
    return sorted(found, key=lambda one: (one.at, one.asset_airflow_id))


def partition_key(item: Any) -> str:
    return f"{item['dag_id']} {item['partition_key']}"


def waiting_partition(item: dict[str, Any]) -> WaitingPartition:
    return WaitingPartition(
        dag_id=name_in(item, "dag_id"),
        partition_key=name_in(item, "partition_key"),
        n_received=int(item["total_received"]),
        n_required=int(item["total_required"]),
        since=moment(item.get("created_at")),
    )


def asset_event(item: dict[str, Any]) -> AssetEvent:
    at = moment(item["timestamp"])
    if at is None:
        raise ValueError(_("The event has no usable time."))
    began = [
        {
            "dag_id": name_in(run, "dag_id"),
            "dag_run_id": name_in(run, "run_id"),
            "triggering": bool(run.get("triggering")),
        }
        for run in item.get("created_dagruns") or []
    ]
    return AssetEvent(
        airflow_id=int(item["id"]),
        asset_airflow_id=int(item["asset_id"]),
        at=at,
        dag_id=item.get("source_dag_id") or "",
        dag_run_id=item.get("source_run_id") or "",
        task_id=item.get("source_task_id") or "",
        map_index=int(item.get("source_map_index", -1)),
        extra=dict(item.get("extra") or {}),
        began=sorted(began, key=lambda run: (run["dag_id"], run["dag_run_id"])),
        partition_key=item.get("partition_key") or "",
    )


def _tasks_of(items: list[dict[str, Any]]) -> list[dict[str, str]]:
    found = [{"dag_id": item["dag_id"], "task_id": item.get("task_id") or ""} for item in items]
    return sorted(found, key=lambda one: (one["dag_id"], one["task_id"]))
