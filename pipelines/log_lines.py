"""The lines of a task's log: from Airflow's structured messages to time, level and plain text.

Nothing of it is ever HTML; what a terminal would swallow (colours, links, control characters) is gone.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.lib import aside
from core.lib.aside import Unread
from core.lib.times import moment

LONGEST_LINE = 4000
LONGEST_MESSAGE = 64_000
LEVELS = ("debug", "info", "warning", "error", "critical")

# By ECMA-48: commands with a text of their own (titles, links, images), then CSI, then the short ones. The
# 8-bit forms are not honoured, but for CSI before digits: in a log they are wrongly decoded letters instead.
_ESCAPES = re.compile(
    r"\x1b[\]PX^_][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b\[[0-?]*[ -/]*[@-~]?|\x9b[0-?]+[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]?"
)
# The last ones turn the direction of what follows: text would read otherwise than it is.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# What Airflow adds to each message and the page shows elsewhere, or nobody needs.
_QUIET = {"timestamp", "event", "level", "logger", "filename", "lineno", "chan", "error_detail", "loc", "ti"}
_QUIET |= {"run_id", "dag_id", "task_id", "map_index", "try_number", "ti_id"}
_GROUP, _GROUP_END = "::group::", "::endgroup::"
_SOURCES = "::group::Log message source details"
_PLACE = re.compile(r"\S*attempt=\d+\.log\S*")


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


class Lines:
    """The lines of Airflow's answer, without its own head of where it looked for the log.

    trouble: what that head complains of, known once the lines are read; it matters only when there are none.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self.trouble = ""

    def __iter__(self) -> Iterator[LogLine]:
        for item in self._items:
            if _event(item) == _SOURCES:
                self._read_head()
            elif (line := _line(item)) is not None:
                yield line

    def _read_head(self) -> None:
        words = []
        for item in self._items:
            event = _event(item)
            if event == _GROUP_END:
                break
            if not _PLACE.fullmatch(event):
                words.append(clean(event))
        self.trouble = "\n".join(words)


def _line(item: Any) -> LogLine | None:
    """One that is no message of Airflow's is shown as it came."""
    [found] = aside.read([item], from_airflow, key=lambda item: clean(json.dumps(item, default=repr)))
    return LogLine(None, "", found.key) if isinstance(found, Unread) else found


def from_airflow(item: Any) -> LogLine | None:
    """A structured message, or plain text from an older log; None for what only Airflow's own page needs."""
    if isinstance(item, str):
        return LogLine(None, "", clean(item))
    event = _event(item)
    if event == _GROUP_END or (not item.get("timestamp") and _PLACE.fullmatch(event)):
        return None
    level = str(item.get("level") or "").lower()
    level = {"warn": "warning", "fatal": "critical"}.get(level, level)
    return LogLine(moment(item.get("timestamp")), level if level in LEVELS else "", clean(_text(item)))


def clean(text: str) -> str:
    """Plain text of bounded length; what was cut off is counted in its place."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if "\b" in text:
        text = _typed_over(text)
    lines = _CONTROLS.sub("", text).rstrip("\n").split("\n")
    return _cut_in_the_middle("\n".join(map(_cut, lines)))


def _cut(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:LONGEST_LINE]} … [+{len(line) - LONGEST_LINE}]"


def _cut_in_the_middle(text: str) -> str:
    """How a trace ends says what went wrong."""
    n_over = len(text) - LONGEST_MESSAGE
    half = LONGEST_MESSAGE // 2
    return text if n_over <= 0 else f"{text[:half]}\n… [{n_over} characters left out]\n{text[-half:]}"


def _typed_over(text: str) -> str:
    """A backspace takes back the character before it: old tools print bold and underlined text so."""
    kept: list[str] = []
    for character in text:
        if character != "\b":
            kept.append(character)
        elif kept and kept[-1] != "\n":
            kept.pop()
    return "".join(kept)


def _event(item: Any) -> str:
    return str(item.get("event") or "") if isinstance(item, dict) else ""


def _text(item: dict[str, Any]) -> str:
    extras = [
        f"{key}={value}" for key, value in item.items() if key not in _QUIET and value not in (None, "")
    ]
    text = " ".join([_event(item).removeprefix(_GROUP), *extras])
    return "\n".join([text, *_traces(item.get("error_detail"))])


def _traces(detail: Any) -> Iterator[str]:
    """An exception with what caused it, the first cause first, line by line as Python prints it.

    detail: structlog's `ExceptionDictTransformer`: the exception that came out, then its causes.
    """
    for place, stack in reversed(list(enumerate(detail or []))):
        yield from _trace(stack)
        if place:
            is_cause = stack.get("is_cause")
            yield ""
            yield (
                "The above exception was the direct cause of the following exception:"
                if is_cause
                else "During handling of the above exception, another exception occurred:"
            )
            yield ""


def _trace(fault: dict[str, Any]) -> Iterator[str]:
    for frame in fault.get("frames") or []:
        where = f"File {frame.get('filename', '')!r}, line {frame.get('lineno', '')}"
        yield f"  {where}, in {frame.get('name', '')}"
    if syntax := fault.get("syntax_error"):
        yield f"  File {syntax.get('filename', '')!r}, line {syntax.get('lineno', '')}"
        yield f"    {str(syntax.get('line') or '').strip()}"
    yield f"{fault.get('exc_type', '')}: {fault.get('exc_value', '')}"
    for note in fault.get("exc_notes") or []:
        yield str(note)
    for number, inner in enumerate(fault.get("exceptions") or [], start=1):
        yield f"  +---------------- {number} ----------------"
        for line in _traces(inner):
            yield from (f"  | {part}".rstrip() for part in line.split("\n"))
