"""The archive that the stays come in: one CSV in a zip, read with bounds and never unpacked to disk."""

import csv
import io
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd

from dags.recipes.common.checks import SHOWN, DataInvalid
from dags.recipes.common.ledger import Rejected

MAX_MEMBERS = 20
MAX_BYTES = 64 * 1024 * 1024  # of the table; the known one has 19 MB
MAX_ROWS = 500_000
RESOURCE_FORKS = "__MACOSX"  # what an archive made on a Mac holds beside its files
LONGEST_FIELD = 1_000


@dataclass(frozen=True)
class Table:
    """All values as text. torn: rows with more or fewer values than the head has, by place in the file."""

    rows: pd.DataFrame
    torn: list[Rejected]


def read(data: bytes, columns: Sequence[str]) -> Table:
    """The one member of the archive that has these columns. Raises DataInvalid."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            member = _member(archive, columns)
            with archive.open(member) as packed:
                return _table(_Bounded(packed, member.filename), columns)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise DataInvalid(f"The file is no whole zip archive: {error}.") from error
    except UnicodeDecodeError as error:
        raise DataInvalid(f"The table in the archive is no UTF-8 text: {error}.") from error
    except csv.Error as error:
        raise DataInvalid(f"The table in the archive cannot be read: {error}.") from error


def _member(archive: zipfile.ZipFile, columns: Sequence[str]) -> zipfile.ZipInfo:
    members = [one for one in archive.infolist() if not one.is_dir() and not _is_fork(one)]
    if len(archive.infolist()) > MAX_MEMBERS:
        raise DataInvalid(
            f"The archive holds {len(archive.infolist()):,} members; at most {MAX_MEMBERS} fit."
        )
    for one in members:
        _refuse_foreign(one)
    fitting = [one for one in members if set(columns) <= set(_head(archive, one))]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(one.filename[:SHOWN] for one in members) or "nothing"
    if fitting:
        raise DataInvalid(f"Several members hold the columns: {names}. Leave one of them in the archive.")
    lacking = " ".join(_lacking(archive, one, columns) for one in members)
    raise DataInvalid(f"No member of the archive holds the columns of the stays. {lacking or 'It is empty.'}")


def _is_fork(member: zipfile.ZipInfo) -> bool:
    return PurePosixPath(member.filename).parts[:1] == (RESOURCE_FORKS,)


def _refuse_foreign(member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename)
    shown = member.filename[:SHOWN]
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
        raise DataInvalid(f"The archive holds {shown}, a path that leads out of it.")
    if path.suffix.lower() != ".csv":
        raise DataInvalid(f"The archive holds {shown}, which does not belong there: only CSV files do.")
    if member.flag_bits & 0x1:
        raise DataInvalid(f"{shown} in the archive is encrypted.")
    if member.file_size > MAX_BYTES:
        raise DataInvalid(f"{shown} has {member.file_size:,} bytes unpacked; at most {MAX_BYTES:,} fit.")


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> list[str]:
    with archive.open(member) as packed:
        line = packed.readline(LONGEST_FIELD * 10).decode("utf-8-sig", "replace")
    return [name.strip() for name in next(csv.reader([line]), [])]


def _lacking(archive: zipfile.ZipFile, member: zipfile.ZipInfo, columns: Sequence[str]) -> str:
    there = set(_head(archive, member))
    missing = [name for name in columns if name not in there]
    listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return f"{member.filename[:SHOWN]} lacks {listed}."


class _Bounded(io.RawIOBase):
    """What the archive says of a member's size may be untrue: counted while it is read."""

    def __init__(self, packed: io.BufferedIOBase, name: str) -> None:
        self._packed = packed
        self._name = name
        self._left = MAX_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Raises DataInvalid past the bound."""
        content = self._packed.read(min(len(buffer), self._left + 1))
        self._left -= len(content)
        if self._left < 0:
            raise DataInvalid(f"{self._name[:SHOWN]} unpacks to more than {MAX_BYTES:,} bytes.")
        buffer[: len(content)] = content
        return len(content)


def _table(content: io.RawIOBase, columns: Sequence[str]) -> Table:
    text = io.TextIOWrapper(io.BufferedReader(content), encoding="utf-8-sig", newline="")
    lines = csv.reader(text)
    head = [name.strip() for name in next(lines)]
    places = [head.index(name) for name in columns]
    torn: list[Rejected] = []
    values: list[list[str]] = [[] for _ in columns]
    for position, line in enumerate(_bounded(lines)):
        if len(line) != len(head):
            reason = f"It has {len(line)} values where the head has {len(head)}"
            torn.append(Rejected(position, reason, ", ".join(line)))
            continue
        for column, place in zip(values, places, strict=True):
            column.append(sys.intern(line[place]))  # five million values, but few different ones
    return Table(pd.DataFrame(dict(zip(columns, values, strict=True)), dtype=object), torn)


def _bounded(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    for number, line in enumerate(lines):
        if number >= MAX_ROWS:
            raise DataInvalid(f"The table has more than {MAX_ROWS:,} rows.")
        if line:
            yield line
