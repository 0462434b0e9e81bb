"""What Airflow's JSON means of runs."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.lib.aside import name_in
from core.lib.times import moment


@dataclass(frozen=True)
class DagRun:
    """state: Airflow's word. triggered_by: the user's name, else what started it, such as `timetable`."""

    dag_id: str
    dag_run_id: str
    state: str
    conf: dict[str, Any]
    note: str
    run_type: str
    triggered_by: str
    logical_date: datetime | None
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    versions: list[int] = field(default_factory=list)  # of its code, the latest last
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    partition_key: str = ""
    run_after: datetime | None = None  # not before then
    partition_date: datetime | None = None

    @property
    def key(self) -> str:
        """What it is called among all runs."""
        return f"{self.dag_id} {self.dag_run_id}"


def run_key(item: Any) -> str:
    return f"{item['dag_id']} {item['dag_run_id']}"


def run_of(item: Any) -> tuple[str, str] | None:
    """(dag_id, dag_run_id) of a run or a task."""
    return (str(item.get("dag_id")), str(item.get("dag_run_id"))) if isinstance(item, dict) else None


def dag_run(item: dict[str, Any]) -> DagRun:
    return DagRun(
        dag_id=name_in(item, "dag_id"),
        dag_run_id=name_in(item, "dag_run_id"),
        state=item["state"] or "",
        conf=item.get("conf") or {},
        note=item.get("note") or "",
        run_type=item.get("run_type") or "",
        triggered_by=item.get("triggering_user_name") or item.get("triggered_by") or "",
        logical_date=moment(item.get("logical_date"), is_planned=True),
        queued_at=moment(item.get("queued_at")),
        started_at=moment(item.get("start_date")),
        ended_at=moment(item.get("end_date")),
        versions=_versions(item.get("dag_versions") or []),
        data_interval_start=moment(item.get("data_interval_start"), is_planned=True),
        data_interval_end=moment(item.get("data_interval_end"), is_planned=True),
        partition_key=item.get("partition_key") or "",
        run_after=moment(item.get("run_after"), is_planned=True),
        partition_date=moment(item.get("partition_date"), is_planned=True),
    )


def _versions(items: list[dict[str, Any]]) -> list[int]:
    return sorted({int(item["version_number"]) for item in items})


def new_tasks(answer: dict[str, Any]) -> list[str]:
    return [str(item["task_id"]) for item in answer["task_instances"]]
