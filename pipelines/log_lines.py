"""A line of a task's log: from Airflow's structured message to time, level and plain text.

Nothing of it is ever HTML, and terminal colours and other control characters are taken out.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

LONGEST_LINE = 4000
LEVELS = ("debug", "info", "warning", "error", "critical")

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# What Airflow adds to each message and the page shows elsewhere, or nobody needs.
_QUIET = {"timestamp", "event", "level", "logger", "filename", "lineno", "chan", "error_detail", "loc", "ti"}
_QUIET |= {"run_id", "dag_id", "task_id", "map_index", "try_number", "ti_id"}
_GROUP, _GROUP_END = "::group::", "::endgroup::"
_SOURCES = "::group::Log message source details"
_SOURCE = re.compile(r"\S*attempt=\d+\.log\S*")


@dataclass(frozen=True)
class LogLine:
    """at: None where the program printed without a time. level: one of LEVELS, or empty."""

    at: datetime | None
    level: str
    message: str

    @property
    def level_word(self) -> str:
        """Four or five letters, so that lines stay aligned."""
        return {"warning": "warn", "critical": "fatal"}.get(self.level, self.level)


def from_airflow(item: Any) -> LogLine | None:
    """A structured message, or plain text from an older log; None for what only Airflow's own page needs."""
    if isinstance(item, str):
        return LogLine(None, "", clean(item))
    event = str(item.get("event", ""))
    if event in {_GROUP_END, _SOURCES} or (not item.get("timestamp") and _SOURCE.fullmatch(event)):
        return None
    level = str(item.get("level") or "").lower()
    level = {"warn": "warning", "fatal": "critical"}.get(level, level)
    return LogLine(_time(item.get("timestamp")), level if level in LEVELS else "", clean(_text(item)))


def clean(text: str) -> str:
    """Plain text of bounded length; what was cut off is counted in its place."""
    text = _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))).rstrip("\n")
    if len(text) <= LONGEST_LINE:
        return text
    return f"{text[:LONGEST_LINE]} … [+{len(text) - LONGEST_LINE}]"


def _text(item: dict[str, Any]) -> str:
    extras = [
        f"{key}={value}" for key, value in item.items() if key not in _QUIET and value not in (None, "")
    ]
    event = str(item.get("event", "")).removeprefix(_GROUP)
    text = " ".join([event, *extras])
    return "\n".join([text, *(_trace(fault) for fault in item.get("error_detail") or [])])


def _trace(fault: dict[str, Any]) -> str:
    """An exception as Python would have printed it."""
    frames = [
        f"  File {frame.get('filename', '')!r}, line {frame.get('lineno', '')}, in {frame.get('name', '')}"
        for frame in fault.get("frames") or []
    ]
    return "\n".join([*frames, f"{fault.get('exc_type', '')}: {fault.get('exc_value', '')}"])


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
