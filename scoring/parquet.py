"""Parquet files from users, looked at and read in bounded pieces by a child with a limit of memory.

A file of some kilobytes can unfold to gigabytes: only `parquet_reader`, in the sandbox, decodes it.
"""

import os
import select
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from scoring import sandbox
from scoring.parquet_frames import LENGTH_BYTES, Answer, Column, Refused, Table
from scoring.words import grouped

__all__ = ["Column", "Refused", "Table", "look", "rows"]

MEMORY_BYTES = 768 * 1024**2
MAX_FRAME_BYTES = 64 * 1024**2
ANSWER_S = 120.0
LOOK_CPU_S, ROWS_CPU_S = 60, 3600
FILES_AT_ONCE = 100


class _Version(NamedTuple):
    """A file as it is now: what was seen of it holds until it changes."""

    path: Path
    inode: int
    size: int
    changed_ns: int


def look(paths: Sequence[Path]) -> list[Table]:
    """What the metadata of each file say, which are within the limits.

    Raises Refused, with the path of the file that is not as it must be, and OSError.
    """
    found: list[Table] = []
    versions = [_Version(path, (at := path.stat()).st_ino, at.st_size, at.st_mtime_ns) for path in paths]
    for start in range(0, len(versions), FILES_AT_ONCE):
        found += _looked(tuple(versions[start : start + FILES_AT_ONCE]))
    return found


def rows(path: Path, names: Sequence[str], first: int = 0) -> Iterator[list[tuple[Any, ...]]]:
    """Batches of rows from row `first` on, with these columns; a time is seconds since 1970.

    Ends its child when it is closed. Raises Refused, after the rows that could be read; OSError.
    """
    with path.open("rb") as file:
        arguments = ["rows", str(file.fileno()), str(first), msgspec.json.encode(list(names)).decode()]
        with _child(arguments, [file.fileno()], cpu_s=ROWS_CPU_S) as answers:
            for answer in answers:
                yield list(zip(*answer.columns or [], strict=True))


@lru_cache(maxsize=64)
def _looked(versions: tuple[_Version, ...]) -> list[Table]:
    tables: list[Table] = []
    with ExitStack() as stack:
        files = [stack.enter_context(version.path.open("rb")) for version in versions]
        descriptors = [file.fileno() for file in files]
        answers = stack.enter_context(_child(["look", *map(str, descriptors)], descriptors, cpu_s=LOOK_CPU_S))
        try:
            for answer in answers:
                assert answer.table is not None
                tables.append(answer.table)
        except Refused as error:
            raise Refused(str(error), versions[len(tables)].path) from error
    return tables


@contextmanager
def _child(arguments: list[str], descriptors: list[int], *, cpu_s: int) -> Iterator[Iterator[Answer]]:
    """The answers of a reader, which is ended with the block."""
    limits = sandbox.Limits(memory_bytes=MEMORY_BYTES, cpu_s=cpu_s, weak_is_allowed=True)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as news:
        process = sandbox.start(
            ["scoring.parquet_reader", *arguments],
            cwd=folder,
            limits=limits,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            news=news,
            descriptors=descriptors,
        )
        assert process.stdout is not None
        try:
            yield _answers(process.stdout)
        finally:
            sandbox.end(process)
            process.stdout.close()


def _answers(pipe: IO[bytes]) -> Iterator[Answer]:
    """Until the last one, which says nothing. Raises Refused."""
    decoder = msgspec.msgpack.Decoder(Answer)
    while True:
        size = int.from_bytes(_exactly(pipe, LENGTH_BYTES))
        if size > MAX_FRAME_BYTES:
            raise Refused(
                f"{grouped(size)} bytes came of some rows, {grouped(MAX_FRAME_BYTES)} are taken at most"
            )
        answer = decoder.decode(_exactly(pipe, size))
        if answer.refused:
            raise Refused(answer.refused)
        if answer == Answer():
            return
        yield answer


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    parts, left = [], size
    while left:
        ready, _, _ = select.select([pipe], [], [], ANSWER_S)
        if not ready:
            raise Refused(f"nothing came of it for {ANSWER_S:.0f} seconds")
        part = os.read(pipe.fileno(), left)
        if not part:
            raise Refused(
                f"its reader was ended: it needs more than {MEMORY_BYTES // 1024**2} MiB, or is broken"
            )
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
