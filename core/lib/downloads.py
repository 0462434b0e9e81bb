"""Files that are sent while they are made: no part of them waits in memory for the rest."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from itertools import chain
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

# Made before the status is sent. Most files are smaller: they come whole or as an error.
FIRST_BYTES = 256 * 1024


def response(
    request: HttpRequest, parts: Iterator[bytes], *, name: str, content_type: str
) -> StreamingHttpResponse:
    """`parts` as a download called `name`.

    What is raised in the first 256 KiB is raised here, and answered with the status that it deserves. Later
    the status is on its way: the error goes up through Django to uvicorn, which logs it and closes the
    connection without the end of the chunked body. So the client sees a transfer that broke off (curl: exit
    status 18, a browser: failed download), never half a file that looks whole.
    """
    first = _begun(parts)
    run = getattr(request, "in_its_thread", None)
    content = in_thread(run, parts, first) if run else chain(first, parts)
    headers = {
        "Content-Disposition": str(content_disposition_header(True, name)),
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        # Django would compress each part by itself under ASGI, and browsers read the first of them alone.
        "Content-Encoding": "identity",
    }
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)


def _begun(parts: Iterator[bytes]) -> list[bytes]:
    """Its first parts."""
    first: list[bytes] = []
    n_bytes = 0
    for part in parts:
        first.append(part)
        n_bytes += len(part)
        if n_bytes >= FIRST_BYTES:
            break
    return first


async def in_thread(
    run: Callable[..., Awaitable[Any]], parts: Iterator[bytes], first: Sequence[bytes] = ()
) -> AsyncIterator[bytes]:
    """`first`, then `parts`: ASGI wants an asynchronous iterator, or it would read everything first.

    run: calls something in the thread that made the first parts. It makes the others, too, and closes what
    they come from: a connection to PostgreSQL is one thread's.
    """
    try:
        for part in first:
            yield part
        while (part := await run(next, parts, None)) is not None:
            yield part
    finally:
        if isinstance(parts, Generator):
            await run(parts.close)
