"""What is asked of Airflow for a backfill, and what its JSON about backfills means."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.lib.aside import name_in
from core.lib.times import moment


@dataclass(frozen=True)
class WantedBackfill:
    """What to ask for. conf: empty keeps what runs that are run again have. run_on_latest_version: None
    for what Airflow is set to.

    Of a partitioned pipeline Airflow takes what the dates show, and reads that in the zone of its schedule:
    there they are wall clocks labelled as UTC (`edge.wall_clock`), as Airflow keeps them.
    """

    dag_id: str
    from_date: datetime
    to_date: datetime
    run_backwards: bool = False
    conf: dict[str, Any] | None = None
    reprocess_behavior: str = "none"
    max_active_runs: int = 10
    run_on_latest_version: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """As Airflow's API names it."""
        return {
            "dag_id": self.dag_id,
            "from_date": self.from_date,
            "to_date": self.to_date,
            "run_backwards": self.run_backwards,
            "dag_run_conf": self.conf or None,
            "reprocess_behavior": self.reprocess_behavior,
            "max_active_runs": self.max_active_runs,
            "run_on_latest_version": self.run_on_latest_version,
        }


@dataclass(frozen=True)
class WantedRun:
    """A run that would be made. at: its logical date; of a partitioned pipeline the date of its partition."""

    at: datetime
    partition_key: str = ""


@dataclass(frozen=True)
class Backfill:
    """A backfill as Airflow has it. Cancelling pauses it and makes it complete."""

    airflow_id: int
    dag_id: str
    from_date: datetime
    to_date: datetime
    conf: dict[str, Any]
    reprocess_behavior: str
    max_active_runs: int
    is_paused: bool
    started_at: datetime
    completed_at: datetime | None

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"{self.dag_id} {self.airflow_id}"


def backfill_key(item: Any) -> str:
    return f"{item['dag_id']} {item['id']}"


def backfill(item: dict[str, Any]) -> Backfill:
    return Backfill(
        airflow_id=int(item["id"]),
        dag_id=name_in(item, "dag_id"),
        from_date=_time(item, "from_date"),
        to_date=_time(item, "to_date"),
        conf=dict(item.get("dag_run_conf") or {}),
        reprocess_behavior=str(item.get("reprocess_behavior") or "none"),
        max_active_runs=int(item["max_active_runs"]),
        is_paused=bool(item.get("is_paused")),
        started_at=_time(item, "created_at"),
        completed_at=moment(item.get("completed_at")),
    )


def _time(item: dict[str, Any], name: str) -> datetime:
    found = moment(item[name], is_planned=True)
    if found is None:
        raise ValueError(f"{name} is {item[name]!r:.100}, and no time")
    return found


def backfill_dates(answer: dict[str, Any]) -> list[WantedRun]:
    """What would be made, in its order."""
    found = []
    for item in answer["backfills"]:
        at = moment(item.get("logical_date") or item.get("partition_date"), is_planned=True)
        if at is not None:
            found.append(WantedRun(at, item.get("partition_key") or ""))
    return found
