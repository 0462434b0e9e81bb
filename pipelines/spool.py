"""Copies of task logs: one file a try below `CONSOLE_VAR_DIR/spool/logs`, a JSON array a line.

Files, not Redis: a log may have hundreds of megabytes, is read from its tail, and must not push out what
Redis holds for everybody. Processes that write and read them share `CONSOLE_VAR_DIR`.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import orjson
from django.conf import settings
from django.utils.translation import gettext as _

from core.lib import json_out
from core.lib.errors import InvalidRequest
from core.lib.times import moment
from pipelines.log_lines import LogLine

# No piece is longer than this, so that neither a page nor an answer holds a whole log.
PIECE_BYTES = 512 * 1024
FAULTS = frozenset({"error", "critical"})


@dataclass(frozen=True)
class Piece:
    """Lines of a copy, and the offsets in bytes before and after them."""

    lines: list[LogLine]
    start: int
    end: int


@dataclass(frozen=True)
class Wanted:
    """Which lines to give: of these levels (of all when there are none), and with this text in the message.

    Capital letters do not matter.
    """

    levels: frozenset[str] = frozenset()
    text: str = ""

    def __bool__(self) -> bool:
        return bool(self.levels or self.text)

    @cached_property
    def _levels(self) -> list[bytes]:
        return [f'"{level}"'.encode() for level in sorted(self.levels)]

    @cached_property
    def _needle(self) -> bytes:
        return orjson.dumps(self.text.lower())[1:-1]

    def _has_text(self, raw: bytes) -> bool:
        # The lower case of bytes is that of ASCII alone, and ten times as quick as that of text.
        lower = raw.lower() if self._needle.isascii() else raw.decode().lower().encode()
        return self._needle in lower

    def may_be_in(self, block: bytes) -> bool:
        """A quick look at many lines at once, so that most of a long log is never taken apart."""
        if self._levels and not any(level in block for level in self._levels):
            return False
        return not self.text or self._has_text(block)

    def fits(self, raw: bytes) -> bool:
        """Whether the line, as it stands in the copy, is one of them."""
        if self._levels and raw.split(b",", 2)[1] not in self._levels:
            return False
        return not self.text or (self._has_text(raw) and self.text.lower() in _line(raw).message.lower())


ALL = Wanted()


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
    """Lines from offset `start` on, none beyond the end: at most `limit`, and half a megabyte."""
    lines: list[LogLine] = []
    path = path_of(log_id)
    if start >= size_bytes or not path.is_file():
        return Piece([], start, start)
    with path.open("rb") as file:
        _check_place(file, start)
        file.seek(start)
        end = start
        most = min(size_bytes, start + PIECE_BYTES)
        while len(lines) < limit and end < most and (raw := file.readline()):
            end += len(raw)
            lines.append(_line(raw))
    return Piece(lines, start, end)


def tail(
    log_id: int, *, size_bytes: int, limit: int, before: int | None = None, wanted: Wanted = ALL
) -> Piece:
    """The last lines in front of offset `before`, or of the end: at most `limit`, and half a megabyte.

    wanted: only these, however far back they are; the piece then starts where nobody has looked yet.
    """
    end = size_bytes if before is None else min(before, size_bytes)
    path = path_of(log_id)
    if end <= 0 or not path.is_file():
        return Piece([], 0, 0)
    kept: list[bytes] = []
    n_bytes, start = 0, end
    with path.open("rb") as file:
        _check_place(file, end)
        for place, raw in _backwards(file, end, wanted):
            if len(kept) == limit or n_bytes + len(raw) > PIECE_BYTES:
                break
            kept.append(raw)
            n_bytes, start = n_bytes + len(raw), place
        else:
            start = 0
    return Piece([_line(raw) for raw in reversed(kept)], start, end)


def first_fault(log_id: int, *, size_bytes: int) -> int | None:
    """The offset of the first line at the level of an error; None where there is none."""
    path = path_of(log_id)
    if not path.is_file():
        return None
    faults = Wanted(FAULTS)
    with path.open("rb") as file:
        start = 0
        while start < size_bytes and (block := file.read(min(PIECE_BYTES, size_bytes - start))):
            if not block.endswith(b"\n"):
                block += file.readline()
            if faults.may_be_in(block):
                place = start
                for raw in block.splitlines(keepends=True):
                    if faults.fits(raw):
                        return place
                    place += len(raw)
            start += len(block)
    return None


def _backwards(file: BinaryIO, end: int, wanted: Wanted) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of the wanted lines in front of `end`, the last first; half a megabyte is in memory."""
    while end > 0:
        start = max(0, end - PIECE_BYTES)
        file.seek(start)
        block = file.read(end - start)
        if start:
            cut = block.index(b"\n") + 1 if b"\n" in block[:-1] else 0
            start, block = start + cut, block[cut:]
        if not wanted or wanted.may_be_in(block):
            place = end
            for raw in reversed(block.splitlines(keepends=True)):
                place -= len(raw)
                if not wanted or wanted.fits(raw):
                    yield place, raw
        end = start


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
    return LogLine(moment(at), level, message)
