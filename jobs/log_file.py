"""A driver's output in files that stay bounded: how it began, and its newest lines, while it goes on.

`log` holds the beginning. What has no room there follows in parts that are called by the byte of the output
at which they start, `log.<byte>`; the oldest of them goes when a third one begins. A place in the log is a
byte of the whole output, so it stays true whatever goes. No Django: the launcher writes, the console reads.
"""

import contextlib
import re
from pathlib import Path
from typing import BinaryIO, NamedTuple

N_PARTS = 2  # beside the beginning
PART = re.compile(r"\.(\d+)$")


class Writer:
    """Takes what the driver says."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        """Keep half of the limit for the beginning, and the other half for what is newest."""
        self._path = path
        self._n_head, self._n_part = limit_bytes // 2, limit_bytes // 2 // N_PARTS
        self._stream: BinaryIO = path.open("ab", buffering=0)
        self._room = self._n_head
        self._place = 0
        self._is_torn = False

    def write(self, content: bytes) -> None:
        """Add to it. What a full disk does not take is left out: it must not end the job."""
        while content:
            try:
                if not self._room or self._is_torn:
                    self._begin_part()
                n = self._stream.write(content[: self._room])
            except OSError:
                self._is_torn = True
                self._place += len(content)
                return
            self._room -= n
            self._place += n
            content = content[n:]

    def _begin_part(self) -> None:
        later = _parts(self._path)[1:]
        empty = [part for part in later if part.start == part.end]  # a full disk took nothing of it
        held = [part for part in later if part not in empty]
        for part in [*empty, *held[: len(held) - N_PARTS + 1]]:
            part.path.unlink()
        self._stream.close()
        self._stream = self._path.with_name(f"{self._path.name}.{self._place}").open("ab", buffering=0)
        self._room, self._is_torn = self._n_part, False

    def close(self) -> None:
        """Nothing follows."""
        self._stream.close()


class Part(NamedTuple):
    """A file of it, and the bytes of the whole output that it holds: from `start`, before `end`."""

    path: Path
    start: int
    end: int


class Stretch(NamedTuple):
    """Bytes of the log from its byte `start` on, before `end`; or, `is_note`, words for those left out there.

    is_torn: what follows in the output is left out. is_last: nothing follows by now.
    """

    content: bytes
    start: int
    end: int
    is_note: bool = False
    is_torn: bool = False
    is_last: bool = False


class _Gone(Exception):
    """A part went while it was read."""


def from_byte(path: Path, start: int, most_bytes: int) -> Stretch:
    """What stands at `start` and after it. Raises FileNotFoundError where there is no log."""
    while True:
        with contextlib.suppress(_Gone):
            return _from(_runs(path), start, most_bytes)


def before_byte(path: Path, end: int | None, most_bytes: int) -> Stretch:
    """The last that stands before `end`, or of all. Raises FileNotFoundError where there is no log."""
    while True:
        with contextlib.suppress(_Gone):
            return _before(_runs(path), end, most_bytes)


def _from(runs: list[list[Part]], start: int, most_bytes: int) -> Stretch:
    size = runs[-1][-1].end
    for run in runs:
        first, last = run[0].start, run[-1].end
        if start < first:
            return _note(start, first)
        if start < last:
            end = min(start + most_bytes, last)
            return Stretch(
                _bytes(run, start, end), start, end, is_torn=end == last < size, is_last=end == size
            )
    return Stretch(b"", start, start, is_last=True)


def _before(runs: list[list[Part]], end: int | None, most_bytes: int) -> Stretch:
    size = runs[-1][-1].end
    end = size if end is None else min(end, size)
    for run in reversed(runs):
        first, last = run[0].start, run[-1].end
        if end > last:
            return _note(last, end)
        if end > first:
            start = max(first, end - most_bytes)
            return Stretch(
                _bytes(run, start, end), start, end, is_torn=end == last < size, is_last=end == size
            )
    return Stretch(b"", 0, 0, is_last=not size)


def _note(start: int, end: int) -> Stretch:
    return Stretch(b"\n[... %d bytes are left out here ...]\n" % (end - start), start, end, is_note=True)


def _runs(path: Path) -> list[list[Part]]:
    """The parts, those that follow one another without a gap together."""
    found: list[list[Part]] = []
    for part in _parts(path):
        if found and found[-1][-1].end == part.start:
            found[-1].append(part)
        else:
            found.append([part])
    return found


def _parts(path: Path) -> list[Part]:
    """In their order, the beginning first; without one that goes meanwhile."""
    found = [Part(path, 0, path.stat().st_size)]
    for one in path.parent.glob(f"{path.name}.*"):
        named = PART.search(one.name)
        with contextlib.suppress(FileNotFoundError):
            if named:
                start = int(named[1])
                found.append(Part(one, start, start + one.stat().st_size))
    return sorted(found, key=lambda part: part.start)


def _bytes(parts: list[Part], start: int, end: int) -> bytes:
    found = b""
    for part in parts:
        first, last = max(start, part.start), min(end, part.end)
        if first >= last:
            continue
        try:
            with part.path.open("rb") as stream:
                stream.seek(first - part.start)
                found += stream.read(last - first)
        except FileNotFoundError:
            raise _Gone from None
    return found
