"""Names of files that people give: always inside the data or the output folder, whatever they contain."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from core.lib.errors import InvalidRequest, NotFound
from core.lib.storable import has_half_characters

MOST_OFFERED = 200
MOST_LOOKED_AT = 5_000
DEEPEST = 4


def inside_allowed(name: str) -> Path:
    """The file or folder of this name; a relative one is relative to CONSOLE_DATA_DIR.

    Raises InvalidRequest when it lies, symlinks resolved, outside of CONSOLE_DATA_DIR and
    CONSOLE_OUTPUT_DIR, NotFound when there is no such thing.
    """
    if _data_dir() is None and not os.path.isabs(name):
        raise NotFound(_("There is no data folder: set CONSOLE_DATA_DIR."))
    path = _resolved(name)
    shown = {"name": name[:200]}
    if path is None:
        raise InvalidRequest(_("“%(name)s” cannot be the name of a file.") % shown)
    if not any(path.is_relative_to(folder) for folder in _folders()):
        message = _("“%(name)s” lies outside of the data folder and the output folder.")
        raise InvalidRequest(message % shown)
    if not path.exists():
        raise NotFound(_("There is no “%(name)s” in the data folder or the output folder.") % shown)
    return path


def offered(endings: Iterable[str]) -> list[str]:
    """Names of files with one of these endings, as `inside_allowed` takes them: data first, a limited number.

    Those of the data folder are relative to it, those of the output folder are whole, the newest first.
    """
    wanted = tuple(endings)
    found = []
    for folder in _folders():
        paths = (path for path in islice(_files(folder), MOST_LOOKED_AT) if path.name.endswith(wanted))
        if folder == _data_dir():
            found += sorted(str(path.relative_to(folder)) for path in paths)
        else:
            found += [str(path) for path in sorted(paths, key=_age)]
    return found[:MOST_OFFERED]


def _data_dir() -> Path | None:
    folder = settings.CONSOLE_DATA_DIR
    return Path(folder).resolve() if folder is not None else None


def _folders() -> list[Path]:
    data = _data_dir()
    return [*([data] if data is not None else []), Path(settings.CONSOLE_OUTPUT_DIR).resolve()]


def _resolved(name: str) -> Path | None:
    """None for what no file can be called. An absolute name is joined to nothing."""
    if not name:
        return None
    try:
        path = Path(_data_dir() or "/", name).resolve()
        path.exists()  # raises for a name that is too long
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links that go round in circles
        return None
    return path


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder that are really there: nothing hidden or unfinished, no symlink, no odd name."""
    for place, folders, names in os.walk(folder):
        is_deep = len(Path(place).relative_to(folder).parts) >= DEEPEST
        folders[:] = [] if is_deep else sorted(filter(_is_offered, folders))
        for name in sorted(filter(_is_offered, names)):
            path = Path(place, name)
            if not path.is_symlink():
                yield path


def _is_offered(name: str) -> bool:
    """What is no UTF-8 on the disk has half characters here: no page shows such a name, no call gives it."""
    return not is_private(name) and not has_half_characters(name)


def is_private(name: str) -> bool:
    """Hidden, or what Spark has not finished."""
    return name.startswith((".", "_"))


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:  # gone since
        return 0.0
