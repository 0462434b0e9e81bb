"""Why a run failed, at a glance: the task, the last error of its log, and what had to stay undone for it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from core.audit import queries as trail
from pipelines import log_reading, queries, run_tasks
from pipelines.log_lines import LogLine
from pipelines.models import Run, TaskInstance
from pipelines.run_tasks import TaskRow
from pipelines.states import RunState

LOOKED_AT = 400  # lines, from the end
LONGEST_QUOTE = 700
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Timeout|NotFound)\b.*")
_TRACEBACK = "Traceback (most recent call last):"
# What stands for a program that the task started: the program's own words say more.
_OF_A_PROGRAM = re.compile(r"non-zero exit status|command returned a non-zero exit code|CalledProcessError")


@dataclass(frozen=True)
class Failure:
    """The first task that failed, in the order of the graph; None where none did and the run failed alone.

    error: the quote; empty while the log is on its way, and where it holds no error. trouble: why there is no
    log. is_final: what is said of it stays.
    after: what depends on the task and did not run; without one, all that did not. reason: why, without one.
    """

    task: TaskInstance | None
    n_others: int
    error: str
    trouble: str
    is_read: bool
    is_final: bool
    after: list[str]
    reason: str = ""


def read(run: Run) -> Failure | None:
    """As `of_run`, of a run about which nothing else is known."""
    nodes = queries.graph_of_run(run)
    return of_run(run, run_tasks.rows(run, nodes), nodes)


def of_run(run: Run, rows: Sequence[TaskRow], graph: Sequence[Mapping[str, Any]]) -> Failure | None:
    """None for a run that did not fail, and has no failed task. The caller counts as reading its log."""
    failed = [row for row in rows if "failed" in row.counts]
    task = _first(run, failed)
    if task is None:
        return _alone(run, rows) if run.state == RunState.FAILED else None
    view = log_reading.open_log(run, task.task_id, map_index=task.map_index)
    # Of a copy that is still growing the last error is one in the middle of the log.
    trouble = view.copy.delivery_error if view.copy else ""
    lines = view.tail(limit=LOOKED_AT).lines if view.has_end or trouble else []
    behind = _behind(graph, task.task_id)
    after = [words for row in rows if row.task_id in behind and (words := _undone(row))]
    n_failed = sum(row.counts["failed"] for row in failed)
    error = last_error(lines)
    return Failure(task, n_failed - 1, error, trouble, view.has_end, view.is_complete, after)


def _alone(run: Run, rows: Sequence[TaskRow]) -> Failure:
    """Of a run that failed though no task did: Airflow does not say why, the trail may."""
    is_final = run.tasks_due_until is None  # else its tasks are on their way here
    after = [words for row in rows if (words := _undone(row, also="skipped"))]
    marked = _marked_by(run)
    if not is_final:
        reason = _("No task of it is known to have failed; Airflow is being asked for them.")
    elif marked:
        reason = _("%(name)s marked the run as failed.") % {"name": marked}
    elif not rows:
        reason = _("Airflow has shown no task of it.")
    else:
        reason = _(
            "The run took longer than its DAG allows (dagrun_timeout), its tasks waited for each other, or "
            "somebody marked it as failed in Airflow."
        )
    return Failure(None, 0, "", "", True, is_final, after, reason)


def _marked_by(run: Run) -> str:
    """Who marked the run as failed here, if that is how it ended the last time; empty for nobody."""
    for entry in trail.for_object(run._meta.label_lower, str(run.pk)):
        if entry.action == "run.marked" and (entry.after or {}).get("state") == RunState.FAILED:
            return entry.actor_name
        if entry.action in {"run.marked", "run.cleared"}:
            return ""
    return ""


def _first(run: Run, failed: Sequence[TaskRow]) -> TaskInstance | None:
    if not failed:
        return None
    return failed[0].only or run_tasks.instances(run, failed[0].task_id, state="failed").first()


def _undone(row: TaskRow, *, also: str = "") -> str:
    """What of a task did not run, in words; empty for nothing. also: a state that counts as such too."""
    n = sum(row.counts.get(state, 0) for state in {"", "upstream_failed", also})
    if not n:
        return ""
    return row.task_id if row.only else f"{row.task_id} × {n}"


def _behind(graph: Sequence[Mapping[str, Any]], task_id: str) -> set[str]:
    """All that follows a task, at any distance."""
    following = {node["id"]: node.get("downstream", []) for node in graph}
    found: set[str] = set()
    rest = list(following.get(task_id, []))
    while rest:
        one = rest.pop()
        if one not in found:
            found.add(one)
            rest += following.get(one, [])
    return found


def last_error(lines: Sequence[LogLine]) -> str:
    """The last exception in words, without its traceback; empty where no line is an error."""
    at = next((n for n in reversed(range(len(lines))) if lines[n].level in {"error", "critical"}), None)
    if at is None:
        return ""
    quote = _quote(lines[at].message)
    if _OF_A_PROGRAM.search(quote):
        own = _printed(lines[:at])
        quote = f"{own}\n{quote}" if own else quote
    return quote if len(quote) <= LONGEST_QUOTE else f"{quote[:LONGEST_QUOTE]} …"


def _quote(message: str) -> str:
    """From the exception's own line on; the last line of a message without one."""
    rows = message.rstrip().split("\n")
    at = next((n for n in reversed(range(len(rows))) if _EXCEPTION.match(rows[n])), len(rows) - 1)
    return "\n".join(rows[at:]).strip()


def _printed(lines: Sequence[LogLine]) -> str:
    """The exception of the last traceback that a program printed, line by line."""
    rows = [row for line in lines for row in line.message.split("\n")]
    start = next((n for n in reversed(range(len(rows))) if rows[n].endswith(_TRACEBACK)), None)
    if start is None:
        return ""
    return next((row for row in rows[start + 1 :] if row and not row[0].isspace()), "").strip()
