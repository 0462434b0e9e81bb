"""Lines of a driver's log: Spark's own have a time and a level, what the application prints has neither."""

import re
from typing import NamedTuple

_SPARK = re.compile(r"\d\d/\d\d/\d\d (\d\d:\d\d:\d\d) (TRACE|DEBUG|INFO|WARN|ERROR|FATAL) (.*)", re.DOTALL)
_LEVELS = {"WARN": "warning", "FATAL": "critical"}


class LogLine(NamedTuple):
    """level: as styles call it. Time and level are empty for a line of the application."""

    at: str
    level: str
    message: str


def lines(text: str) -> list[LogLine]:
    """Each line of the text."""
    return [_line(line) for line in text.splitlines()]


def _line(text: str) -> LogLine:
    found = _SPARK.fullmatch(text)
    if found is None:
        return LogLine("", "", text)
    at, level, message = found.groups()
    return LogLine(at, _LEVELS.get(level, level.lower()), message)
