"""What an application wrote in the end, unless no row could hold it."""

import json
from typing import Any

from django.utils.translation import gettext as _

from core.lib import json_bodies
from jobs.folders import Folder

LARGEST_BYTES = 256 * 1024


class ResultRefused(Exception):
    """The application's result is missing or cannot be kept; the message says why."""


def read(folder: Folder) -> dict[str, Any]:
    """Raises ResultRefused."""
    content = _content(folder)
    try:
        value = json.loads(content)
        # Refuses what Python reads and PostgreSQL does not keep: NaN, 1e999, half of a character.
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise ResultRefused(_("Its result is no JSON: %(error)s") % {"error": error}) from error
    if json_bodies.is_too_deep(value):
        raise ResultRefused(json_bodies.too_deep())
    if not isinstance(value, dict) or b"\\u0000" in content:
        raise ResultRefused(_("Its result is no JSON object, or holds a NUL character."))
    return value


def _content(folder: Folder) -> bytes:
    try:
        with folder.result.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ResultRefused(_("It left no result (%(error)s).") % {"error": error.strerror}) from error
    if len(content) > LARGEST_BYTES:
        message = _("Its result has more than %(n)d KiB.") % {"n": LARGEST_BYTES // 1024}
        raise ResultRefused(message)
    return content
