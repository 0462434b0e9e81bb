"""Where files of rows lie: `CONSOLE_VAR_DIR/batches/<id>`, a folder that web and workers share.

`upload` is there until the batch ends, `part-…` as well, `result.csv` from then on.
"""

import hashlib
import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.utils.translation import gettext as _

from core.lib import edge
from core.lib.files import whole
from predictions.errors import TooLarge

PIECE_BYTES = 256 * 1024
# An upload whose row was never made, since its process died.
ORPHANS_LIVE_S = 24 * 3600.0


class Kept(NamedTuple):
    """An upload on the disk."""

    sha256: str
    size_bytes: int


def root() -> Path:
    return Path(settings.CONSOLE_VAR_DIR) / "batches"


def folder(batch_id: uuid.UUID) -> Path:
    return root() / str(batch_id)


def upload(batch_id: uuid.UUID) -> Path:
    return folder(batch_id) / "upload"


def part(batch_id: uuid.UUID, name: str) -> Path:
    """An answered part. name: as the row has it."""
    return folder(batch_id) / f"part-{name}"


def result(batch_id: uuid.UUID) -> Path:
    return folder(batch_id) / "result.csv"


def most_bytes() -> int:
    """Of one upload."""
    return settings.CONSOLE_BATCHES_MAX_MIB * 1024**2


def keep_upload(batch_id: uuid.UUID, pieces: Iterable[bytes]) -> Kept:
    """Write what comes, as it comes. Raises TooLarge; then nothing stays."""
    sha256, size_bytes = hashlib.sha256(), 0
    with whole(upload(batch_id)) as path, path.open("wb") as file:
        for piece in pieces:
            size_bytes += len(piece)
            if size_bytes > most_bytes():
                raise TooLarge(too_large())
            sha256.update(piece)
            file.write(piece)
    return Kept(sha256.hexdigest(), size_bytes)


def too_large() -> str:
    """What to tell who sent more than is taken."""
    return _("A file may hold at most %(n)d MiB: send it in parts.") % {"n": settings.CONSOLE_BATCHES_MAX_MIB}


def pieces_of(stream: object) -> Iterator[bytes]:
    """The rest of whatever has `read`."""
    return iter(lambda: stream.read(PIECE_BYTES), b"")  # type: ignore[attr-defined]


def forget_parts(batch_id: uuid.UUID) -> None:
    """What the result has made needless."""
    upload(batch_id).unlink(missing_ok=True)
    for path in folder(batch_id).glob("part-*"):
        path.unlink(missing_ok=True)


def remove(batch_id: uuid.UUID) -> None:
    """All of it; what cannot be removed now the daily look finds."""
    shutil.rmtree(folder(batch_id), ignore_errors=True)


def models() -> Path:
    """Copies of champions, for the workers."""
    return root() / "models"


def forget_models(kept: Collection[str]) -> None:
    """Copies of models that were not touched today and are not among these, by SHA-256."""
    before = time.time() - ORPHANS_LIVE_S
    for path in models().glob("*"):
        if path.name.partition(".")[0] not in kept and path.stat().st_mtime < before:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def orphans(known: set[uuid.UUID]) -> list[uuid.UUID]:
    """Folders of batches that nobody knows any more, old enough to be nobody's upload under way."""
    before = time.time() - ORPHANS_LIVE_S
    found = []
    for path in root().glob("*-*"):
        id_ = edge.uuid_or_none(path.name)
        if id_ is not None and id_ not in known and path.stat().st_mtime < before:
            found.append(id_)
    return found
