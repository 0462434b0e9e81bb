"""What Airflow's JSON means: each answer as a frozen dataclass with the console's own names."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib import aside
from core.lib.aside import Unread, name_in
from core.lib.times import moment
from pipelines.log_lines import Lines, LogLine
from pipelines.scope import instance_name

T = TypeVar("T")

LONGEST_TRACE = 20_000


@dataclass(frozen=True)
class UnreadPage(Unread):
    """Stands for an item at which Airflow itself fails: nobody can tell which, so nothing else is gone."""


def unread_page(offset: int, why: str) -> UnreadPage:
    """Of the item at this place of a list."""
    words = {"offset": offset, "why": why}
    return UnreadPage(
        f"page at offset {offset}", _("The page at offset %(offset)s could not be read: %(why)s") % words
    )


def is_whole(found: Iterable[Any]) -> bool:
    """Whether all of a list could be read, so that what it lacks is gone."""
    return not any(isinstance(item, UnreadPage) for item in found)


def read(items: list[Any], meaning: Callable[[Any], T], key: Callable[[Any], str]) -> list[T | Unread]:
    """What each item of a list means, see `aside.read`; an `UnreadPage` stays one."""
    unread: list[T | Unread] = [item for item in items if isinstance(item, UnreadPage)]
    return unread + aside.read((i for i in items if not isinstance(i, UnreadPage)), meaning, key=key)


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


@dataclass(frozen=True)
class TaskNode:
    """A task of the DAG's graph. groups: those it is in, the outermost first; None where nobody asked."""

    id: str
    label: str
    operator: str
    downstream: list[str]
    is_mapped: bool
    groups: list[str] | None = None


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

    @property
    def key(self) -> str:
        """What it is called among all runs."""
        return f"{self.dag_id} {self.dag_run_id}"


@dataclass(frozen=True)
class TaskState:
    """A task instance at its latest try; state is empty before the scheduler has looked at it.

    map_name: what its author's `map_index_template` made of a mapped one; empty without, and before it ran.
    """

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
    map_name: str = ""

    @property
    def run_key(self) -> str:
        """What its run is called among all runs."""
        return f"{self.dag_id} {self.dag_run_id}"

    @property
    def name(self) -> str:
        """As pages write it."""
        return instance_name(self.task_id, self.map_index, self.map_name)

    @property
    def key(self) -> str:
        """What it is called among all tasks of all runs."""
        return f"{self.run_key} {self.task_id} {self.map_index}"


@dataclass(frozen=True)
class TaskTry:
    """One try of a task, as Airflow keeps it."""

    try_number: int
    state: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    host: str
    pool: str


@dataclass(frozen=True)
class XCom:
    """What a task left for others under a key; value is None where it is too large to show.

    trouble: why there is no value, in words.
    """

    key: str
    at: datetime | None
    value: Any = None
    trouble: str = ""


@dataclass(frozen=True)
class InputRequest:
    """What a task asks people. param_list: as of `DagDetails`. assigned: user ids, empty for all.

    map_name: as of `TaskState`.
    """

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    subject: str
    body: str
    options: list[str]
    defaults: list[str]
    is_multiple: bool
    param_list: list[dict[str, Any]]
    assigned: list[str]
    asked_at: datetime  # for the first time: one that is asked again, by a later try, keeps it
    try_number: int
    map_name: str = ""

    @property
    def run_key(self) -> str:
        """What its run is called among all runs."""
        return f"{self.dag_id} {self.dag_run_id}"

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"{self.run_key} {self.task_id} {self.map_index} {self.asked_at.isoformat()} {self.try_number}"


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

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"{self.airflow_id} {self.name}"


@dataclass(frozen=True)
class AssetEvent:
    """An asset changed. began: runs that took it, {"dag_id", "dag_run_id", "triggering"}; the last is false
    for those that began with a later one.

    dag_id, dag_run_id, task_id: of the task that made it; empty where somebody said so over REST.
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

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"event {self.airflow_id}"


@dataclass(frozen=True)
class LogPage:
    """token: empty at the end of the try."""

    lines: list[LogLine]
    token: str


def http_date(value: str | None) -> datetime:
    """The Date header: Airflow's clock, to the second. Ours, where a proxy has taken that away."""
    try:
        return parsedate_to_datetime(value or "")
    except ValueError:
        return timezone.now()


# --- what each thing is called, in an answer of Airflow's


def dag_key(item: Any) -> str:
    return str(item["dag_id"])


def run_key(item: Any) -> str:
    return f"{item['dag_id']} {item['dag_run_id']}"


def run_of(item: Any) -> tuple[str, str] | None:
    """(dag_id, dag_run_id) of a run or a task."""
    return (str(item.get("dag_id")), str(item.get("dag_run_id"))) if isinstance(item, dict) else None


def task_key(item: Any) -> str:
    return f"{run_key(item)} {item['task_id']} {item['map_index']}"


def row_key(item: Any) -> str:
    """Of Airflow's own row: a task that is tried again gets another one, behind all others."""
    return str(item["id"])


def asker_key(item: Any) -> str:
    return row_key(item["task_instance"])


def input_key(item: Any) -> str:
    task, asked_at = item["task_instance"], moment(item["created_at"])
    return f"{task_key(task)} {asked_at.isoformat() if asked_at else None} {task['try_number']}"


def fault_key(item: Any) -> str:
    return f"{item['import_error_id']} {item.get('filename')}"


def asset_key(item: Any) -> str:
    return f"{item['id']} {item.get('name')}"


def event_key(item: Any) -> str:
    return f"event {item['id']}"


# --- what each means


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
    )


def dag_details(item: dict[str, Any]) -> DagDetails:
    version = item.get("latest_dag_version") or {}
    zone = item.get("timezone") or ""
    return DagDetails(item.get("doc_md") or "", _params(item), version.get("version_number"), zone)


def _params(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "value": param.get("value"),
            "schema": param.get("schema") or {},
            "description": param.get("description") or "",
        }
        for name, param in (item.get("params") or {}).items()
    ]


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


def groups_of_tasks(answer: dict[str, Any]) -> dict[str, list[str]]:
    """Of each task, the groups that it is in, the outermost first, by the graph of Airflow's own pages.

    There a group has children and a task has none; what joins groups is neither.
    """
    found: dict[str, list[str]] = {}
    rest: list[tuple[dict[str, Any], list[str]]] = [(node, []) for node in answer["nodes"]]
    while rest:
        node, path = rest.pop()
        if node.get("children") is not None:
            rest += [(child, [*path, str(node["id"])]) for child in node["children"]]
        elif node.get("type") != "join":
            found[str(node["id"])] = path
    return found


def task_states(items: list[Any]) -> list[TaskState | Unread]:
    return read(items, task_state, task_key)


def input_request(item: dict[str, Any]) -> InputRequest:
    task = item["task_instance"]
    asked_at = moment(item["created_at"])
    if asked_at is None:
        raise ValueError(_("The question has no usable time."))
    return InputRequest(
        dag_id=name_in(task, "dag_id"),
        dag_run_id=name_in(task, "dag_run_id"),
        task_id=name_in(task, "task_id"),
        map_index=task["map_index"],
        subject=item["subject"],
        body=item.get("body") or "",
        options=list(item["options"]),
        defaults=list(item.get("defaults") or []),
        is_multiple=bool(item.get("multiple")),
        param_list=_params(item),
        assigned=[str(user["id"]) for user in item.get("assigned_users") or []],
        asked_at=asked_at,
        try_number=task["try_number"],
        map_name=_map_name(task),
    )


def _map_name(task: dict[str, Any]) -> str:
    """Airflow gives the bare index where the author wrote no template."""
    name = task.get("rendered_map_index") or ""
    return "" if name == str(task["map_index"]) else str(name)


def task_tries(answer: dict[str, Any]) -> list[TaskTry]:
    """Each try once: one that was cleared comes a second time, without a state, until the next begins."""
    found: dict[int, TaskTry] = {}
    for one in map(task_try, answer["task_instances"]):
        if one.state or one.try_number not in found:
            found[one.try_number] = one
    return [found[number] for number in sorted(found)]


def task_try(item: dict[str, Any]) -> TaskTry:
    return TaskTry(
        try_number=item["try_number"],
        state=item.get("state") or "",
        queued_at=moment(item.get("queued_when")),
        started_at=moment(item.get("start_date")),
        ended_at=moment(item.get("end_date")),
        duration_s=item.get("duration"),
        host=item.get("hostname") or "",
        pool=item.get("pool") or "",
    )


def rendered_fields(answer: dict[str, Any]) -> dict[str, Any]:
    return dict(answer.get("rendered_fields") or {})


def xcoms(answer: dict[str, Any]) -> list[XCom]:
    return [XCom(str(item["key"]), moment(item.get("timestamp"))) for item in answer["xcom_entries"]]


def xcom_value(answer: dict[str, Any]) -> str:
    """As text: what is not text already is written as JSON."""
    value = answer["value"]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def touched_tasks(answer: dict[str, Any]) -> list[TaskState | Unread]:
    """What was, or would be, cleared or marked."""
    return task_states(list(answer["task_instances"]))


def nothing(_answer: Any) -> None:
    """Of an answer that says no more than that it worked."""


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
    )


def _versions(items: list[dict[str, Any]]) -> list[int]:
    return sorted({int(item["version_number"]) for item in items})


def task_state(item: dict[str, Any]) -> TaskState:
    return TaskState(
        dag_id=name_in(item, "dag_id"),
        dag_run_id=name_in(item, "dag_run_id"),
        task_id=name_in(item, "task_id"),
        map_index=item["map_index"],
        try_number=item["try_number"],
        max_tries=max(item["max_tries"] or 0, 0),
        state=item.get("state") or "",
        operator=item.get("operator_name") or item.get("operator") or "",
        started_at=moment(item.get("start_date")),
        ended_at=moment(item.get("end_date")),
        duration_s=item.get("duration"),
        map_name=_map_name(item),
    )


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
    )


def _tasks_of(items: list[dict[str, Any]]) -> list[dict[str, str]]:
    found = [{"dag_id": item["dag_id"], "task_id": item.get("task_id") or ""} for item in items]
    return sorted(found, key=lambda one: (one["dag_id"], one["task_id"]))


def log_page(item: dict[str, Any]) -> LogPage:
    return LogPage(list(Lines(item["content"])), item.get("continuation_token") or "")


def stored_line(raw: bytes) -> Any:
    """A line of a log that comes as JSON lines."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")


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


# What Airflow says of a run or a backfill that it does not take, and the field that it is about.
_FAULTS = {
    "partition_key": "partition_key",
    "data_interval": "data_interval_start",
    "The run_id": "dag_run_id",
    "DAG run cannot use ID": "dag_run_id",
    "must not be after to_date": "to_date",
    "future dates": "from_date",
    "No runs to create": "from_date",
    "run in reverse": "run_backwards",
    "reprocess behavior": "reprocess_behavior",
}
# Said with a 403 of who answers a task's question, while any other 403 is of the console's own token.
_NO_RESPONDENT = "is not a respondent for the task"


def is_of_respondent(words: str) -> bool:
    """Whether Airflow refuses the person, whom the task does not ask, and not the console."""
    return _NO_RESPONDENT in words


def fields_of_error(words: str, names: Iterable[str] = ()) -> list[dict[str, str]]:
    """The parameter or field at fault, where Airflow's sentence names one.

    names: the pipeline's parameters, as far as they are known: a name may be any text.
    """
    known = [re.escape(name) for name in sorted(names, key=len, reverse=True)]
    name = "|".join([*known, ".+?"])
    found = re.search(rf"Invalid input for param (?P<field>{name}): (?P<message>[^\n]+)", words)
    if found:
        return [{"field": f"conf.{found['field']}", "message": found["message"]}]
    field = next((field for part, field in _FAULTS.items() if part in words), "")
    return [{"field": field, "message": words}] if field else []
