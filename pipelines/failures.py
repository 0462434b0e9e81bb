"""Why a run failed, at a glance: the task, the last error of its log, and what had to stay undone for it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines import log_reading, queries, run_tasks
from pipelines.log_lines import LogLine
from pipelines.models import Run, TaskInstance
from pipelines.run_tasks import TaskRow

LOOKED_AT = 400  # lines, from the end
LONGEST_QUOTE = 700
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning|Timeout|NotFound)\b.*")
_TRACEBACK = "Traceback (most recent call last):"
# What stands for a program that the task started: the program's own words say more.
_OF_A_PROGRAM = re.compile(r"non-zero exit status|command returned a non-zero exit code|CalledProcessError")


@dataclass(frozen=True)
class Failure:
    """The first task that failed, in the order of the graph.

    error: the quote; empty while the log is on its way, and where it holds no error. trouble: why there is no
    log. is_final: what is said of it stays.
    after: what depends on the task and did not run.
    """

    task: TaskInstance
    n_others: int
    error: str
    trouble: str
    is_read: bool
    is_final: bool
    after: list[str]


def read(run: Run) -> Failure | None:
    """As `of_run`, of a run about which nothing else is known."""
    nodes = queries.graph_of_run(run)
    return of_run(run, run_tasks.rows(run, nodes), nodes)


def of_run(run: Run, rows: Sequence[TaskRow], graph: Sequence[Mapping[str, Any]]) -> Failure | None:
    """None for a run without a failed task. The caller counts as reading its log."""
    failed = [row for row in rows if "failed" in row.counts]
    task = _first(run, failed)
    if task is None:
        return None
    view = log_reading.open_log(run, task.task_id, map_index=task.map_index)
    # Of a copy that is still growing the last error is one in the middle of the log.
    trouble = view.copy.delivery_error if view.copy else ""
    lines = view.tail(limit=LOOKED_AT).lines if view.has_end or trouble else []
    behind = _behind(graph, task.task_id)
    after = [words for row in rows if row.task_id in behind and (words := _undone(row))]
    n_failed = sum(row.counts["failed"] for row in failed)
    error = last_error(lines)
    return Failure(task, n_failed - 1, error, trouble, view.has_end, view.is_complete, after)


def _first(run: Run, failed: Sequence[TaskRow]) -> TaskInstance | None:
    if not failed:
        return None
    return failed[0].only or run_tasks.instances(run, failed[0].task_id, state="failed").first()


def _undone(row: TaskRow) -> str:
    """What of a task did not run, in words; empty for nothing."""
    n = row.counts.get("", 0) + row.counts.get("upstream_failed", 0)
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
