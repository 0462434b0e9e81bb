"""Whether the service has something new. Runs inside Airflow too: standard library only.

Asking makes the service go on, so what it answered is kept in a file until the step that takes it has it.
"""

import json
import os
import tempfile
import urllib.request
from collections.abc import Collection
from dataclasses import asdict, dataclass
from http.client import HTTPException
from pathlib import Path

PATIENCE_S = 45.0
MAX_BYTES = 50 * 1024 * 1024
_OPENER = urllib.request.build_opener()


@dataclass(frozen=True)
class Kept:
    """An answer. address: of the service; served_from: what it said of its data."""

    address: str
    group: int
    number: int
    served_from: str
    body: str


def has_news(address: str, group: int, taken: Collection[int]) -> bool:
    """False only while the service still gives the newest batch that was taken.

    All else, failures too, is for the step that takes the batch: it knows the words.
    """
    url = f"{address.rstrip('/')}/data?group_number={int(group)}"
    if not url.startswith(("http://", "https://")) or kept(address, group, taken) is not None:
        return True
    try:
        with _OPENER.open(url, timeout=PATIENCE_S) as answer:
            body = answer.read(MAX_BYTES).decode()
            number = json.loads(body)["batch_number"]
            served_from = answer.headers.get("X-Data-Source", "")
    except (OSError, HTTPException, ValueError, KeyError, TypeError, RecursionError):
        return True
    if taken and number == max(taken):
        return False
    _keep(Kept(address, int(group), number, served_from, body))
    return True


def kept(address: str, group: int, taken: Collection[int]) -> Kept | None:
    """What was answered and not taken yet."""
    try:
        found = Kept(**json.loads(_path(group).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return found if found.address == address and found.number not in taken else None


def forget(group: int) -> None:
    """It was taken, or is not wanted any more."""
    _path(group).unlink(missing_ok=True)


def _keep(answer: Kept) -> None:
    path = _path(answer.group)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(asdict(answer)), encoding="utf-8")
    half.replace(path)


def _path(group: int) -> Path:
    base = Path(os.environ.get("ATALAYA_WORK_DIR") or Path(tempfile.gettempdir()) / "atalaya-runs")
    return base / "forest_cover_asked" / f"group_{int(group)}.json"
