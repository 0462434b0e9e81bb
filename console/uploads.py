"""Files that people send, larger than any other body: who may is asked before the first byte is taken in.

They go to disk while they come, a few at once and in bounded time, and only then take a page's place. Who may
not send one, or sends it elsewhere, meets the bound of all other bodies.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any, Final

import structlog
from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError
from django.http import parse_cookie
from django.utils.translation import gettext as _

from console import sessions
from core.access import policy
from core.lib.bodies import Gone, Receive, Refused, Scope, TooLong

log = structlog.get_logger(__name__)

PATHS: Final = re.compile(r"/api/v1/models/[^/]+/batches|/predict/[^/]+/files")
MOST_AT_ONCE: Final = 2  # in one process: Django makes copies of its own in memory or /tmp
LONGEST_S: Final = 300.0
AROUND_BYTES: Final = 64 * 1024  # what a form has around the file
PIECE_BYTES: Final = 64 * 1024


class Uploads:
    """The bodies of uploads, for one process."""

    def __init__(self) -> None:
        self._n = 0

    def is_one(self, scope: Scope) -> bool:
        """Whether its path is one of those that take a file."""
        return scope["method"] == "POST" and PATHS.fullmatch(scope["path"]) is not None

    async def is_allowed(self, scope: Scope) -> bool:
        """Whether whoever asks may predict; Django says why not."""
        headers = dict(scope["headers"])
        cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
        given = headers.get(b"authorization")
        authorization = None if given is None else given.decode("latin-1")
        try:
            return await database_sync_to_async(_may)(
                cookies.get(settings.SESSION_COOKIE_NAME, ""), authorization
            )
        except DatabaseError as error:
            log.warning("upload.no_database", error=str(error).strip())
            return False

    @asynccontextmanager
    async def taken(self, scope: Scope, receive: Receive) -> AsyncIterator[tuple[Scope, Receive]]:
        """The body on disk: the request, which says now how long it is, and what an application receives.

        Raises Refused, TooLong, Gone.
        """
        most = settings.CONSOLE_BATCHES_MAX_MIB * 1024**2 + AROUND_BYTES
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if not announced.isdigit() or len(announced) > 15 or int(announced) > most:
            raise TooLong
        if self._n >= MOST_AT_ONCE:
            raise Refused(503, _("Too much is being sent just now. Try again soon."), retry_after_s=5)
        self._n += 1
        try:
            with tempfile.TemporaryFile(dir=settings.CONSOLE_VAR_DIR) as file:
                try:
                    async with asyncio.timeout(LONGEST_S):
                        await _keep(file, receive, most)
                except TimeoutError as error:
                    detail = _("The file did not arrive within %(n)d seconds.") % {"n": int(LONGEST_S)}
                    raise Refused(408, detail) from error
                whole = _with_length(scope, file.tell())
                file.seek(0)
                yield whole, _again(file, receive)
        finally:
            self._n -= 1


def _may(session_key: str, authorization: str | None) -> bool:
    found = sessions.find(session_key, authorization)
    return found is not None and policy.allows(found.user, "predict")


async def _keep(file: IO[bytes], receive: Receive, most: int) -> None:
    n_bytes, has_more = 0, True
    while has_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        n_bytes += len(part)
        if n_bytes > most:
            raise TooLong
        await asyncio.to_thread(file.write, part)
        has_more = message.get("more_body", False)


def _with_length(scope: Scope, n_bytes: int) -> Scope:
    """A body that came in chunks, without its length, would count as empty."""
    others = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    return {**scope, "headers": [*others, (b"content-length", b"%d" % n_bytes)]}


def _again(file: IO[bytes], receive: Receive) -> Receive:
    is_given = False

    async def give() -> dict[str, Any]:
        nonlocal is_given
        if is_given:
            return await receive()
        part = await asyncio.to_thread(file.read, PIECE_BYTES)
        is_given = len(part) < PIECE_BYTES
        return {"type": "http.request", "body": part, "more_body": not is_given}

    return give
