"""Copies of task logs: one file a try below `CONSOLE_VAR_DIR/spool/logs`, a JSON array a line.

Files, not Redis: a log may have hundreds of megabytes, is read from its tail, and must not push out what
Redis holds for everybody. Processes that write and read them share `CONSOLE_VAR_DIR`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import orjson
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib import json_out
from core.lib.errors import InvalidRequest
from pipelines.log_lines import LogLine

TAIL_BYTES = 512 * 1024


@dataclass(frozen=True)
class Piece:
    """Lines of a copy, and the offsets in bytes before and after them."""

    lines: list[LogLine]
    start: int
    end: int


def path_of(log_id: int) -> Path:
    """Where the copy with this id lies."""
    return Path(settings.CONSOLE_VAR_DIR) / "spool" / "logs" / f"{log_id}.jsonl"


@contextmanager
def writing(log_id: int) -> Iterator[BinaryIO]:
    """The file, open for this writer alone."""
    path = path_of(log_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def append(file: BinaryIO, lines: list[LogLine]) -> int:
    """Write at the end of the file; returns its new size in bytes."""
    file.seek(0, os.SEEK_END)
    for line in lines:
        file.write(json_out.encode([line.at, line.level, line.message], option=orjson.OPT_APPEND_NEWLINE))
    file.flush()
    return file.tell()


def read(log_id: int, *, start: int, size_bytes: int, limit: int) -> Piece:
    """At most `limit` lines from offset `start` on; a start beyond the end gives none."""
    lines: list[LogLine] = []
    path = path_of(log_id)
    if start >= size_bytes or not path.is_file():
        return Piece([], start, start)
    with path.open("rb") as file:
        _check_place(file, start)
        file.seek(start)
        end = start
        while len(lines) < limit and end < size_bytes and (raw := file.readline()):
            end += len(raw)
            lines.append(_line(raw))
    return Piece(lines, start, end)


def tail(log_id: int, *, size_bytes: int, limit: int, before: int | None = None) -> Piece:
    """The last lines in front of offset `before`, or of the end: at most `limit`, and half a megabyte."""
    end = size_bytes if before is None else min(before, size_bytes)
    path = path_of(log_id)
    if end <= 0 or not path.is_file():
        return Piece([], 0, 0)
    with path.open("rb") as file:
        _check_place(file, end)
        start = max(0, end - TAIL_BYTES)
        file.seek(start)
        block = file.read(end - start)
    if start:
        start += block.index(b"\n") + 1 if b"\n" in block[:-1] else 0
        block = block[-(end - start) :]
    raws = block.splitlines(keepends=True)
    kept = raws[-limit:]
    return Piece([_line(raw) for raw in kept], end - sum(map(len, kept)), end)


def remove(log_id: int) -> None:
    """The copy goes; that it is not there is no error."""
    path_of(log_id).unlink(missing_ok=True)


def _check_place(file: BinaryIO, offset: int) -> None:
    """Raises InvalidRequest for a place within a line: the caller made it up."""
    file.seek(max(offset - 1, 0))
    if offset and file.read(1) != b"\n":
        raise InvalidRequest(_("No line of this log begins there. Read it from its start."))


def _line(raw: bytes) -> LogLine:
    at, level, message = orjson.loads(raw)
    return LogLine(datetime.fromisoformat(at) if at else None, level, message)
