"""Artefacts shown through the console: pictures by their first bytes, text as text, else a download."""

from itertools import chain

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import downloads
from core.lib.errors import InvalidRequest
from models_registry import gateway
from models_registry.mlflow_types import FileInfo

MIB = 2**20
PICTURE_LIMIT_BYTES = 8 * MIB
DOWNLOAD_LIMIT_BYTES = 64 * MIB
TEXT_LIMIT_BYTES = 256 * 1024
PICTURES = (".png", ".jpg", ".jpeg")
TEXTS = (".json", ".txt", ".yaml", ".yml", ".md", ".csv", ".log", "MLmodel")
# What holds no rows of training or hold-out data. Any other file may: a table as JSON, an input example, a
# model that keeps what it learnt from, whatever its name ends with.
WITHOUT_ROWS = ("serving/spec.json", "evaluation/metrics.json")
WITHOUT_ROWS_ANYWHERE = ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt")
# A file is a picture when it begins like one, whatever its name says. SVG can carry scripts: never inline.
SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
LONGEST_SIGNATURE = max(map(len, SIGNATURES))  # the first piece from the network may be shorter


def is_picture(file: FileInfo) -> bool:
    """Whether the page shows it."""
    return (
        not file.is_dir
        and file.path.lower().endswith(PICTURES)
        and (file.size_bytes or 0) <= PICTURE_LIMIT_BYTES
    )


def is_text(file: FileInfo) -> bool:
    """Whether the page can show it in a box."""
    return not file.is_dir and file.path.endswith(TEXTS) and (file.size_bytes or 0) <= TEXT_LIMIT_BYTES


def has_rows(path: str) -> bool:
    """Whether the file may hold rows about people, fields masked elsewhere with them: all but a few kinds."""
    is_plain = path in WITHOUT_ROWS or path.rpartition("/")[2] in WITHOUT_ROWS_ANYWHERE
    return not is_plain and not path.lower().endswith(PICTURES)


def check_may_read(user: User | AnonymousUser, path: str) -> None:
    """Raises Denied for a file that may hold rows unless the user may see everybody's predictions."""
    if has_rows(path):
        policy.check(user, "predictions.see_all", path)


def parents(folder: str) -> list[tuple[str, str]]:
    """(name, path) of the folder and all above it, outermost first."""
    parts = folder.split("/") if folder else []
    return [(part, "/".join(parts[: position + 1])) for position, part in enumerate(parts)]


def response(request: HttpRequest, root: str, path: str) -> StreamingHttpResponse:
    """The file while it arrives, inline only where it is a picture.

    Raises NotFound, InvalidRequest, Unavailable, and Denied, as for rows, for what is only called a picture.
    """
    parts = gateway.connect().chunks(root, path, limit_bytes=DOWNLOAD_LIMIT_BYTES)
    first = b""  # what is wrong shows here, before anything is sent
    while len(first) < LONGEST_SIGNATURE and (part := next(parts, b"")):
        first += part
    kind = next((kind for start, kind in SIGNATURES.items() if first.startswith(start)), "")
    if not kind and path.lower().endswith(PICTURES):
        policy.check(request.user, "predictions.see_all", path)
    name = path.rpartition("/")[2]
    content_type = kind or "application/octet-stream"
    answer = downloads.response(request, chain([first], parts), name=name, content_type=content_type)
    answer["Content-Disposition"] = str(content_disposition_header(not kind, name))
    answer["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "private, max-age=300"
    return answer


def text(root: str, path: str) -> str:
    """The file as text. Raises InvalidRequest for what is none."""
    content = gateway.connect().read_file(root, path, limit_bytes=TEXT_LIMIT_BYTES)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(_("%(path)s is no text. Download it.") % {"path": path}) from error
