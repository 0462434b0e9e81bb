"""Files that other processes read while they are written anew."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write to, which becomes `path` at the end of the block; nothing of it stays when that fails.

    Others see either not at all or complete what was written, readable by this user alone. It is on the disk
    before it has its name: what was there stays until then, whatever goes out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink()
        raise


def write_whole(path: Path, content: str | bytes) -> None:
    """Write all of a file as `whole` does."""
    with whole(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
