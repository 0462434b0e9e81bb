"""Names of input files: always inside the data folder, whatever they contain."""

from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from console.lib.errors import NotFound


def inside_data_dir(name: str) -> Path:
    """The file with this path, relative to CONSOLE_DATA_DIR. Raises NotFound, also for one outside of it."""
    folder = settings.CONSOLE_DATA_DIR
    if folder is None:
        raise NotFound(_("There is no data folder: set CONSOLE_DATA_DIR."))
    root = Path(folder).resolve()
    try:
        path = (root / name).resolve()
        is_file = path.is_relative_to(root) and path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        is_file = False
    if not is_file:
        raise NotFound(_("The data folder holds no file “%(name)s”.") % {"name": name[:200]})
    return path


def replayable() -> list[str]:
    """Names of the files in the data folder that may be replayed, by their endings."""
    folder = settings.CONSOLE_DATA_DIR
    if folder is None or not Path(folder).is_dir():
        return []
    found = (path for path in Path(folder).iterdir() if path.suffix in (".parquet", ".txt"))
    return sorted(path.name for path in found if path.is_file())
