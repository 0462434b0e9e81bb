"""What Airflow's JSON means: each answer as a frozen dataclass with the console's own names."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from pipelines.log_lines import Lines, LogLine


@dataclass(frozen=True)
class Dag:
    """A DAG as the list has it."""

    dag_id: str
    display_name: str
    description: str
    tags: list[str]
    owners: list[str]
    schedule: str
    schedule_text: str
    next_run_at: datetime | None
    is_paused: bool
    has_import_errors: bool
    file: str
    max_active_runs: int | None


@dataclass(frozen=True)
class DagDetails:
    """param_list: {"name", "value", "schema", "description"} each, in the author's order."""

    doc_md: str
    param_list: list[dict[str, Any]]
    version: int | None


@dataclass(frozen=True)
class TaskNode:
    """A task of the DAG's graph."""

    id: str
    label: str
    operator: str
    downstream: list[str]
    is_mapped: bool


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


@dataclass(frozen=True)
class TaskState:
    """A task instance at its latest try; state is empty before the scheduler has looked at it."""

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    try_number: int
    max_tries: int
    state: str
    operator: str
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None


@dataclass(frozen=True)
class ImportFault:
    """A DAG file that could not be read, and why."""

    airflow_id: int
    filename: str
    stack_trace: str
    at: datetime


@dataclass(frozen=True)
class LogPage:
    """token: empty at the end of the try."""

    lines: list[LogLine]
    token: str


def time_of(value: str | None) -> datetime | None:
    """An ISO time of Airflow."""
    return datetime.fromisoformat(value) if value else None


def http_date(value: str) -> datetime:
    """The Date header: Airflow's clock, to the second."""
    return parsedate_to_datetime(value)


def dag(item: dict[str, Any]) -> Dag:
    return Dag(
        dag_id=item["dag_id"],
        display_name=item["dag_display_name"] or item["dag_id"],
        description=item["description"] or "",
        tags=sorted(tag["name"] for tag in item["tags"]),
        owners=item["owners"],
        schedule=item["timetable_summary"] or "",
        schedule_text=item["timetable_description"] or "",
        next_run_at=time_of(item["next_dagrun_run_after"]),
        is_paused=item["is_paused"],
        has_import_errors=item["has_import_errors"],
        file=item.get("relative_fileloc") or "",
        max_active_runs=item.get("max_active_runs"),
    )


def dag_details(item: dict[str, Any]) -> DagDetails:
    version = item.get("latest_dag_version") or {}
    params = [
        {
            "name": name,
            "value": param.get("value"),
            "schema": param.get("schema") or {},
            "description": param.get("description") or "",
        }
        for name, param in (item.get("params") or {}).items()
    ]
    return DagDetails(item.get("doc_md") or "", params, version.get("version_number"))


def task_node(item: dict[str, Any]) -> TaskNode:
    return TaskNode(
        id=item["task_id"],
        label=item.get("task_display_name") or item["task_id"],
        operator=item.get("operator_name") or "",
        downstream=sorted(item.get("downstream_task_ids") or []),
        is_mapped=bool(item.get("is_mapped")),
    )


def task_nodes(answer: dict[str, Any]) -> list[TaskNode]:
    return [task_node(item) for item in answer["tasks"]]


def task_states(answer: dict[str, Any]) -> list[TaskState]:
    return [task_state(item) for item in answer["task_instances"]]


def nothing(_answer: Any) -> None:
    """Of an answer that says no more than that it worked."""


def dag_run(item: dict[str, Any]) -> DagRun:
    return DagRun(
        dag_id=item["dag_id"],
        dag_run_id=item["dag_run_id"],
        state=item["state"],
        conf=item.get("conf") or {},
        note=item.get("note") or "",
        run_type=item.get("run_type") or "",
        triggered_by=item.get("triggering_user_name") or item.get("triggered_by") or "",
        logical_date=time_of(item.get("logical_date")),
        queued_at=time_of(item.get("queued_at")),
        started_at=time_of(item.get("start_date")),
        ended_at=time_of(item.get("end_date")),
    )


def task_state(item: dict[str, Any]) -> TaskState:
    return TaskState(
        dag_id=item["dag_id"],
        dag_run_id=item["dag_run_id"],
        task_id=item["task_id"],
        map_index=item["map_index"],
        try_number=item["try_number"],
        max_tries=max(item["max_tries"], 0),
        state=item.get("state") or "",
        operator=item.get("operator_name") or item.get("operator") or "",
        started_at=time_of(item.get("start_date")),
        ended_at=time_of(item.get("end_date")),
        duration_s=item.get("duration"),
    )


def import_fault(item: dict[str, Any]) -> ImportFault:
    at = datetime.fromisoformat(item["timestamp"])
    return ImportFault(item["import_error_id"], item["filename"], item["stack_trace"], at)


def log_page(item: dict[str, Any]) -> LogPage:
    return LogPage(list(Lines(item["content"])), item.get("continuation_token") or "")


def words_of_error(body: str) -> str:
    """The sentence in an error's body: `detail` is text, or a list of pydantic's findings."""
    try:
        detail = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError):
        return body[:500]
    if isinstance(detail, str):
        return detail
    if isinstance(detail, list):
        return "; ".join(_finding(item) for item in detail)
    return str(detail.get("reason") or detail.get("message") or detail)[:500]


def _finding(item: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in item.get("loc", [])[1:])
    return f"{where}: {item.get('msg', '')}" if where else str(item.get("msg", item))


_PARAM_FAULT = re.compile(r"Invalid input for param (?P<field>\S+): (?P<message>[^\n]+)")


def fields_of_error(words: str) -> list[dict[str, str]]:
    """The parameter at fault, where Airflow's JSON-schema sentence names one."""
    found = _PARAM_FAULT.search(words)
    return [{"field": f"conf.{found['field']}", "message": found["message"]}] if found else []
