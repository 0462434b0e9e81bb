"""What Airflow's JSON means of DAGs, their code and graph, and of files that it cannot read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.lib.aside import name_in
from core.lib.times import moment
from pipelines.answers import params_of

LONGEST_TRACE = 20_000


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
    is_backfillable: bool = False
    bundle: str = ""
    is_partitioned: bool = False
    allowed_run_types: list[str] | None = None  # how its runs may come about; None for any way
    next_logical_at: datetime | None = None

    @property
    def key(self) -> str:
        """What it is called among all."""
        return self.dag_id


@dataclass(frozen=True)
class DagDetails:
    """param_list: {"name", "value", "schema", "description"} each, in the author's order."""

    doc_md: str
    param_list: list[dict[str, Any]]
    version: int | None
    timezone: str = ""
    asset_expression: dict[str, Any] | None = None  # which assets start it: {"all" or "any": […]}, or one
    ends_at: datetime | None = None  # its last logical date, by its author


@dataclass(frozen=True)
class TaskNode:
    """A task of the DAG's graph. groups: those it is in, the outermost first. role: `setup`, `teardown` or
    "". edge_labels: what its author wrote on the way to tasks of `downstream`. All three are None where
    nobody asked.
    """

    id: str
    label: str
    operator: str
    downstream: list[str]
    is_mapped: bool
    groups: list[str] | None = None
    role: str | None = None
    edge_labels: dict[str, str] | None = None


@dataclass(frozen=True)
class ImportFault:
    """A DAG file that could not be read, and why. Two bundles may have files of one name."""

    airflow_id: int
    filename: str
    stack_trace: str
    at: datetime | None
    bundle: str = ""

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"{self.airflow_id} {self.filename}"


def dag_key(item: Any) -> str:
    return str(item["dag_id"])


def fault_key(item: Any) -> str:
    return f"{item['import_error_id']} {item.get('filename')}"


def dag(item: dict[str, Any]) -> Dag:
    return Dag(
        dag_id=name_in(item, "dag_id"),
        display_name=item["dag_display_name"] or item["dag_id"],
        description=item["description"] or "",
        tags=sorted(tag["name"] for tag in item["tags"]),
        owners=item["owners"] or [],
        schedule=item["timetable_summary"] or "",
        schedule_text=item["timetable_description"] or "",
        next_run_at=moment(item["next_dagrun_run_after"], is_planned=True),
        is_paused=item["is_paused"],
        has_import_errors=bool(item["has_import_errors"]),
        file=item.get("relative_fileloc") or "",
        max_active_runs=item.get("max_active_runs"),
        is_backfillable=bool(item.get("is_backfillable")),
        bundle=item.get("bundle_name") or "",
        is_partitioned=bool(item.get("timetable_partitioned")),
        allowed_run_types=item.get("allowed_run_types"),
        next_logical_at=moment(item.get("next_dagrun_logical_date"), is_planned=True),
    )


def dag_details(item: dict[str, Any]) -> DagDetails:
    version = item.get("latest_dag_version") or {}
    zone = item.get("timezone") or ""
    condition = item.get("asset_expression")
    return DagDetails(
        item.get("doc_md") or "",
        params_of(item),
        version.get("version_number"),
        zone,
        asset_expression=condition if isinstance(condition, dict) else None,
        ends_at=moment(item.get("end_date"), is_planned=True),
    )


def dag_version(item: dict[str, Any]) -> tuple[str, int]:
    """The DAG, and the number of a version of it."""
    return name_in(item, "dag_id"), int(item["version_number"])


def dag_source(item: dict[str, Any]) -> str:
    return str(item.get("content") or "")


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


def drawn_tasks(answer: dict[str, Any]) -> list[TaskNode]:
    """The tasks with their groups, roles and labels of edges, by the graph of Airflow's own pages.

    There a group has children and a task has none; what joins groups is neither, and stands for the edges
    between their tasks.
    """
    after: dict[str, list[tuple[str, str]]] = {}
    for edge in answer["edges"]:
        step = str(edge["target_id"]), str(edge.get("label") or "")
        after.setdefault(str(edge["source_id"]), []).append(step)
    found: list[tuple[dict[str, Any], list[str]]] = []
    rest: list[tuple[dict[str, Any], list[str]]] = [(node, []) for node in reversed(answer["nodes"])]
    while rest:
        node, path = rest.pop()
        if node.get("children") is not None:
            rest += [(child, [*path, str(node["id"])]) for child in reversed(node["children"])]
        elif node.get("type") != "join":
            found.append((node, path))
    ids = {str(node["id"]) for node, _path in found}
    return [_drawn_task(node, path, _followers(str(node["id"]), after, ids)) for node, path in found]


def _drawn_task(node: dict[str, Any], path: list[str], after: Mapping[str, str]) -> TaskNode:
    task_id, label = str(node["id"]), str(node.get("label") or "")
    is_own_name = label and not task_id.endswith(f".{label}")  # else it is the id without its group
    return TaskNode(
        id=task_id,
        label=label if is_own_name else task_id,
        operator=node.get("operator") or "",
        downstream=sorted(after),
        is_mapped=bool(node.get("is_mapped")),
        groups=path,
        role=node.get("setup_teardown_type") or "",
        edge_labels={task_id: label for task_id, label in sorted(after.items()) if label},
    )


def _followers(
    task_id: str, after: Mapping[str, list[tuple[str, str]]], ids: Collection[str]
) -> dict[str, str]:
    """The tasks that come next, through whatever joins groups, each with the label of the way there."""
    found: dict[str, str] = {}
    rest = list(after.get(task_id, []))
    passed: set[tuple[str, str]] = set()
    while rest:
        one, label = rest.pop()
        if one in ids:
            found[one] = label or found.get(one, "")
        elif (one, label) not in passed:
            passed.add((one, label))
            rest += [(then, own or label) for then, own in after.get(one, [])]
    return found


def import_fault(item: dict[str, Any]) -> ImportFault:
    at = moment(item.get("timestamp"))
    trace = item.get("stack_trace") or ""
    return ImportFault(
        airflow_id=item["import_error_id"],
        filename=item.get("filename") or "",
        stack_trace=_end_of(trace),
        at=at,
        bundle=item.get("bundle_name") or "",
    )


def _end_of(trace: str) -> str:
    """A traceback says at its end what happened."""
    return trace if len(trace) <= LONGEST_TRACE else f"…\n{trace[-LONGEST_TRACE:]}"
