"""What Airflow's JSON means of the tasks of a run: their states and tries, logs, XComs and questions."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext as _

from core.lib.aside import Unread, name_in
from core.lib.times import moment
from pipelines.answers import params_of, read, row_key
from pipelines.log_lines import Lines, LogLine, Own
from pipelines.run_answers import run_key
from pipelines.scope import instance_name


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
class TaskRules:
    """How its author wrote a task, in the newest version of its DAG."""

    trigger_rule: str
    retries: int | None
    retry_delay_s: float | None
    timeout_s: float | None
    depends_on_past: bool
    owner: str
    doc_md: str


@dataclass(frozen=True)
class TaskPlace:
    """Where an instance ran or will, at its latest try, and what somebody noted on it."""

    host: str
    pool: str
    pool_slots: int | None
    queue: str
    executor: str
    priority: int | None
    note: str


@dataclass(frozen=True)
class Link:
    """One that the task's operator gives; url is empty while it has none."""

    name: str
    url: str


@dataclass(frozen=True)
class TaskAbout:
    """What a task is. rules: None where its DAG has it no more; place: None where Airflow tells too much.

    links_trouble: why there are no links.
    """

    rules: TaskRules | None
    place: TaskPlace | None
    links: list[Link]
    links_trouble: str = ""


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
class XComPage:
    """Some of what a task left, by key. n_all: how many there are."""

    entries: list[XCom]
    n_all: int


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
class GivenAnswer:
    """What a task's question was answered. by: a user id, with the name; empty where nobody did in time.

    Then the task took its own defaults. Where Airflow counts its users the id is a number.
    """

    chosen: list[str]
    params_input: dict[str, Any]
    by: str
    name: str
    at: datetime | None


@dataclass(frozen=True)
class LogPage:
    """token: empty at the end of the try."""

    lines: list[LogLine]
    token: str


def task_key(item: Any) -> str:
    return f"{run_key(item)} {item['task_id']} {item['map_index']}"


def asker_key(item: Any) -> str:
    return row_key(item["task_instance"])


def input_key(item: Any) -> str:
    task, asked_at = item["task_instance"], moment(item["created_at"])
    return f"{task_key(task)} {asked_at.isoformat() if asked_at else None} {task['try_number']}"


def task_states(items: list[Any]) -> list[TaskState | Unread]:
    return read(items, task_state, task_key)


def touched_tasks(answer: dict[str, Any]) -> list[TaskState | Unread]:
    """What was, or would be, cleared or marked."""
    return task_states(list(answer["task_instances"]))


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


def task_rules(item: dict[str, Any]) -> TaskRules:
    retries = item.get("retries")
    return TaskRules(
        trigger_rule=item.get("trigger_rule") or "",
        retries=None if retries is None else int(retries),
        retry_delay_s=_seconds(item.get("retry_delay")),
        timeout_s=_seconds(item.get("execution_timeout")),
        depends_on_past=bool(item.get("depends_on_past")),
        owner=item.get("owner") or "",
        doc_md=item.get("doc_md") or "",
    )


def _seconds(delta: dict[str, Any] | None) -> float | None:
    """Of days, seconds and microseconds."""
    if not delta:
        return None
    parts = {name: delta.get(name) or 0 for name in ("days", "seconds", "microseconds")}
    return timedelta(**parts).total_seconds()


def task_place(item: dict[str, Any]) -> TaskPlace:
    return TaskPlace(
        host=item.get("hostname") or "",
        pool=item.get("pool") or "",
        pool_slots=item.get("pool_slots"),
        queue=item.get("queue") or "",
        executor=item.get("executor") or "",
        priority=item.get("priority_weight"),
        note=item.get("note") or "",
    )


def links(answer: dict[str, Any]) -> list[Link]:
    return [Link(str(name), str(url or "")) for name, url in answer["extra_links"].items()]


def rendered_fields(answer: dict[str, Any]) -> dict[str, Any]:
    return dict(answer.get("rendered_fields") or {})


def xcoms(answer: dict[str, Any]) -> XComPage:
    entries = [XCom(str(item["key"]), moment(item.get("timestamp"))) for item in answer["xcom_entries"]]
    return XComPage(entries, answer["total_entries"])


def xcom_value(answer: dict[str, Any]) -> str:
    """As text: what is not text already is written as JSON."""
    value = answer["value"]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


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
        param_list=params_of(item),
        assigned=[str(user["id"]) for user in item.get("assigned_users") or []],
        asked_at=asked_at,
        try_number=task["try_number"],
        map_name=_map_name(task),
    )


def given_answer(item: dict[str, Any]) -> GivenAnswer | None:
    """None while nobody has answered."""
    if not item.get("response_received"):
        return None
    person = item.get("responded_by_user") or {}
    return GivenAnswer(
        chosen=[str(option) for option in item.get("chosen_options") or []],
        params_input=dict(item.get("params_input") or {}),
        by=str(person.get("id", "")),
        name=str(person.get("name") or ""),
        at=moment(item.get("responded_at")),
    )


def log_page(item: dict[str, Any], own: Own) -> LogPage:
    """own: as in `log_lines`."""
    return LogPage(list(Lines(item["content"], own)), item.get("continuation_token") or "")


def stored_line(raw: bytes) -> Any:
    """A line of a log that comes as JSON lines."""
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")
