"""Copies of task logs: one file a try below `CONSOLE_VAR_DIR/spool/logs`, a JSON array a line.

Offsets are those of the whole log, in such lines. Of a log too long the head is cut off: a first line then
says how much that was, and what refers to places further along still finds them.

Files, not Redis: a log may have hundreds of megabytes, is read from its tail, and must not push out what
Redis holds for everybody. Processes that write and read them share `CONSOLE_VAR_DIR`.
"""

import fcntl
import os
import shutil
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

# No piece is longer than this and a line, so that neither a page nor an answer holds a whole log.
PIECE_BYTES = 512 * 1024
FAULTS = frozenset({"error", "critical"})
LEVELS = {"warning": frozenset({"warning", *FAULTS}), "error": FAULTS}  # that a log is narrowed to
LONGEST_SEARCH = 200


@dataclass(frozen=True)
class Cut:
    """How much of a log's head its copy no longer has. n_bytes is also the offset of the first line kept."""

    n_bytes: int = 0
    n_lines: int = 0


NOT_CUT = Cut()


class Copy:
    """An open copy, by offsets of the whole log."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        head = file.readline() if file.read(1) == b"{" and not file.seek(0) else b""
        self.cut = Cut(**orjson.loads(head)) if head else NOT_CUT
        self.file, self._shift = file, self.cut.n_bytes - len(head)

    @property
    def size_bytes(self) -> int:
        """Of the whole log, as far as it was copied."""
        return os.fstat(self.file.fileno()).st_size + self._shift

    def seek(self, offset: int) -> None:
        """To an offset that is kept."""
        self.file.seek(offset - self._shift)

    def tell(self) -> int:
        """The offset that is read next."""
        return self.file.tell() + self._shift

    def truncate(self, offset: int) -> None:
        """Take away what lies behind; all of it where that offset is not kept."""
        is_kept = offset > self.cut.n_bytes
        self.file.truncate(offset - self._shift if is_kept else 0)
        if not is_kept:
            self.cut, self._shift = NOT_CUT, 0


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


def cut_of(log_id: int) -> Cut:
    """What the copy lacks of the log's head."""
    path = path_of(log_id)
    if not path.is_file():
        return NOT_CUT
    with path.open("rb") as file:
        return Copy(file).cut


@contextmanager
def writing(log_id: int) -> Iterator[Copy]:
    """The copy, open for this writer alone."""
    path = path_of(log_id)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    while True:
        with _opened(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(path, file):  # another writer put a shorter one in its place meanwhile
                continue
            yield Copy(file)
            return


def _opened(path: Path, flags: int = 0) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600), "r+b")


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def append(copy: Copy, lines: list[LogLine]) -> int:
    """Write at the end of the copy; returns the log's new size in bytes."""
    copy.file.seek(0, os.SEEK_END)
    for line in lines:
        copy.file.write(
            json_out.encode([line.at, line.level, line.message], option=orjson.OPT_APPEND_NEWLINE)
        )
    copy.file.flush()
    return copy.tell()


def cut_head(log_id: int, copy: Copy, *, keep_bytes: int) -> bool:
    """Keep the last lines only, about so many bytes; False where that is less than one line.

    Who reads the copy meanwhile goes on with the old file. The writer writes no more to this one.
    """
    end, first = copy.size_bytes, copy.cut.n_bytes
    copy.seek(max(first, end - keep_bytes))
    copy.file.readline()
    start = copy.tell()
    if start >= end:
        return False
    n_lines = copy.cut.n_lines + _count_lines(copy, first, start)
    path = path_of(log_id)
    with _opened(path.with_suffix(".cut"), os.O_TRUNC) as file:
        file.write(orjson.dumps(Cut(start, n_lines), option=orjson.OPT_APPEND_NEWLINE))
        copy.seek(start)
        shutil.copyfileobj(copy.file, file, PIECE_BYTES)
    path.with_suffix(".cut").replace(path)
    return True


def _count_lines(copy: Copy, start: int, end: int) -> int:
    copy.seek(start)
    n_lines = 0
    while start < end and (block := copy.file.read(min(PIECE_BYTES, end - start))):
        n_lines += block.count(b"\n")
        start += len(block)
    return n_lines


def read(log_id: int, *, start: int, size_bytes: int, limit: int) -> Piece:
    """Lines from offset `start` on, none beyond the end: at most `limit`, and half a megabyte.

    It begins at the first line kept where those before it were asked for.
    """
    lines: list[LogLine] = []
    path = path_of(log_id)
    if start >= size_bytes or not path.is_file():
        return Piece([], start, start)
    with path.open("rb") as file:
        copy = Copy(file)
        start = max(start, copy.cut.n_bytes)
        _check_place(copy, start)
        copy.seek(start)
        end = start
        most = min(size_bytes, start + PIECE_BYTES)
        while len(lines) < limit and end < most and (raw := file.readline()):
            end += len(raw)
            lines.append(_line(raw))
    return Piece(lines, start, end)


def tail(
    log_id: int, *, size_bytes: int, limit: int, before: int | None = None, wanted: Wanted = ALL
) -> Piece:
    """The last lines in front of offset `before`, or of the end: at most `limit`, and half a megabyte of
    them, but one however long it is.

    wanted: only these, however far back they are; the piece then starts where nobody has looked yet.
    """
    end = size_bytes if before is None else min(before, size_bytes)
    path = path_of(log_id)
    if end <= 0 or not path.is_file():
        return Piece([], 0, 0)
    kept: list[bytes] = []
    with path.open("rb") as file:
        copy = Copy(file)
        first = copy.cut.n_bytes
        end = max(end, first)
        _check_place(copy, end)
        n_bytes, start = 0, end
        for place, raw in _backwards(copy, end, wanted):
            if len(kept) == limit or (kept and n_bytes + len(raw) > PIECE_BYTES):
                break
            kept.append(raw)
            n_bytes, start = n_bytes + len(raw), place
        else:
            start = first
    return Piece([_line(raw) for raw in reversed(kept)], start, end)


def first_fault(log_id: int, *, size_bytes: int) -> int | None:
    """The offset of the first line kept at the level of an error; None where there is none."""
    path = path_of(log_id)
    if not path.is_file():
        return None
    faults = Wanted(FAULTS)
    with path.open("rb") as file:
        copy = Copy(file)
        start = copy.cut.n_bytes
        copy.seek(start)
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


def _backwards(copy: Copy, end: int, wanted: Wanted) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of the wanted lines in front of `end`, the last first."""
    first = copy.cut.n_bytes
    while end > first:
        start, block = _whole_lines(copy, first, end)
        if not wanted or wanted.may_be_in(block):
            place = end
            for raw in reversed(block.splitlines(keepends=True)):
                place -= len(raw)
                if not wanted or wanted.fits(raw):
                    yield place, raw
        end = start


def _whole_lines(copy: Copy, first: int, end: int) -> tuple[int, bytes]:
    """Where they begin, and the lines in front of `end`: half a megabyte, more where a line is longer."""
    n_bytes = PIECE_BYTES
    while True:
        start = max(first, end - n_bytes)
        copy.seek(start)
        block = copy.file.read(end - start)
        if start == first:
            return start, block
        if cut := block.find(b"\n", 0, -1) + 1:
            return start + cut, block[cut:]
        n_bytes *= 2


def remove(log_id: int) -> None:
    """The copy goes; that it is not there is no error."""
    path_of(log_id).unlink(missing_ok=True)
    path_of(log_id).with_suffix(".cut").unlink(missing_ok=True)  # of a writer that died


def _check_place(copy: Copy, offset: int) -> None:
    """Raises InvalidRequest for a place within a line: the caller made it up."""
    copy.seek(max(offset - 1, copy.cut.n_bytes))
    if offset > copy.cut.n_bytes and copy.file.read(1) != b"\n":
        raise InvalidRequest(_("No line of this log begins there. Read it from its start."))


def _line(raw: bytes) -> LogLine:
    at, level, message = orjson.loads(raw)
    return LogLine(moment(at), level, message)
