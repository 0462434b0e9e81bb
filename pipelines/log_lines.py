"""The lines of a task's log: from Airflow's structured messages to time, level and plain text.

Nothing of it is ever HTML; what a terminal would swallow (colours, links, control characters) is gone.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.lib import aside
from core.lib.aside import Unread
from core.lib.times import moment

LONGEST_MESSAGE = 1_000_000  # characters; only a program that went wrong says more at once
# On a page, where a browser has to lay it out.
LONGEST_LINE = 4000
LONGEST_SHOWN = 64_000
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
_QUIET = {"timestamp", "event", "level", "logger", "error_detail", "ti_id"}
_PLACES = {"filename", "lineno"}  # of the call that logged; of a Python warning they are the code to mend
_CHANNELS = {"stdout", "stderr"}
_CODE_LINE = re.compile(r"\S+:[0-9]+")
_GROUP, _GROUP_END = "::group::", "::endgroup::"
_SOURCES = "::group::Log message source details"
_PLACE = re.compile(r"\S*attempt=\d+\.log\S*")


# The try whose log it is, by the names that Airflow's messages have for it.
Own = Mapping[str, str | int]


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

    @property
    def shown(self) -> str:
        """The message for a page: long lines are cut, and say by how much."""
        lines = map(_cut, self.message.split("\n"))
        return _cut_in_the_middle("\n".join(lines), LONGEST_SHOWN)


class Lines:
    """The lines of Airflow's answer, without its own head of where it looked for the log.

    trouble: what that head complains of, known once the lines are read; it matters only when there are none.
    """

    def __init__(self, items: Iterable[Any], own: Own) -> None:
        self._items = iter(items)
        self._own = own
        self.trouble = ""

    def __iter__(self) -> Iterator[LogLine]:
        for item in self._items:
            if _event(item) == _SOURCES:
                self._read_head()
            elif (line := _line(item, self._own)) is not None:
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


def _line(item: Any, own: Own) -> LogLine | None:
    """One that is no message of Airflow's is shown as it came."""
    [found] = aside.read([item], lambda item: from_airflow(item, own), key=repr)
    if not isinstance(found, Unread):
        return found
    text = aside.safely(lambda item: clean(json.dumps(item, default=repr, ensure_ascii=False)), item)
    return LogLine(*_stamp(item), text or found.key)


def _stamp(item: Any) -> tuple[datetime | None, str]:
    """When, and how bad."""
    if not isinstance(item, dict):
        return None, ""
    level = str(item.get("level") or "").lower()
    level = {"warn": "warning", "fatal": "critical"}.get(level, level)
    return moment(item.get("timestamp")), level if level in LEVELS else ""


def from_airflow(item: Any, own: Own) -> LogLine | None:
    """A structured message, or plain text from an older log; None for what only Airflow's own page needs.

    own: what the message says of this try is left out, as the page says it.
    """
    if isinstance(item, str):
        return LogLine(None, "", clean(item))
    event = _event(item)
    if event == _GROUP_END or (not item.get("timestamp") and _PLACE.fullmatch(event)):
        return None
    return LogLine(*_stamp(item), clean(_text(item, own)))


def clean(text: str) -> str:
    """Plain text, every line whole; what is left out of one that has no end is counted in its place."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if "\b" in text:
        text = _typed_over(text)
    return _cut_in_the_middle(_CONTROLS.sub("", text).rstrip("\n"), LONGEST_MESSAGE)


def _cut(line: str) -> str:
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[:LONGEST_LINE]} … [+{len(line) - LONGEST_LINE}]"


def _cut_in_the_middle(text: str, longest: int) -> str:
    """How a trace ends says what went wrong."""
    n_over = len(text) - longest
    half = longest // 2
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


def _text(item: dict[str, Any], own: Own) -> str:
    shown = [key for key, value in item.items() if value not in (None, "") and not _is_quiet(key, item, own)]
    extras = [f"{key}={item[key]}" for key in shown]
    text = " ".join([_event(item).removeprefix(_GROUP), *extras])
    return "\n".join([text, *_traces(item.get("error_detail"))])


def _is_quiet(key: str, item: dict[str, Any], own: Own) -> bool:
    """Whether what a message says under this key is Airflow's own: a program may say something else there."""
    value = item[key]
    if key in _PLACES:
        return item.get("logger") != "py.warnings"
    if key == "ti":
        return all(repr(own.get(name)) in str(value) for name in ("dag_id", "run_id", "task_id"))
    if key in own:
        return str(value) == str(own[key])
    if key == "chan":
        return value in _CHANNELS
    if key == "loc":
        return _CODE_LINE.fullmatch(str(value)) is not None
    return key in _QUIET


def _traces(detail: Any) -> Iterator[str]:
    """An exception with what caused it, the first cause first, line by line as Python prints it.

    detail: structlog's `ExceptionDictTransformer`: the exception that came out, then its causes. What a
    program itself says under that key, such as a text, stays as it is.
    """
    if not isinstance(detail, list) or not all(isinstance(stack, dict) for stack in detail):
        yield from [] if detail in (None, "") else [str(detail)]
        return
    for place, stack in reversed(list(enumerate(detail))):
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
