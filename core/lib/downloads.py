"""Files that are sent while they are made: no part of them waits in memory for the rest."""

from collections.abc import AsyncIterator, Iterator
from itertools import chain

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
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
    made = _begun(parts)
    content = _in_a_thread(made) if isinstance(request, ASGIRequest) else made
    headers = {
        "Content-Disposition": str(content_disposition_header(True, name)),
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        # Django would compress each part by itself under ASGI, and browsers read the first of them alone.
        "Content-Encoding": "identity",
    }
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)


def _begun(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same parts, the first of them made already."""
    first: list[bytes] = []
    n_bytes = 0
    for part in parts:
        first.append(part)
        n_bytes += len(part)
        if n_bytes >= FIRST_BYTES:
            break
    return chain(first, parts)


async def _in_a_thread(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """ASGI wants an asynchronous iterator, or it would read everything first."""
    while (part := await sync_to_async(lambda: next(parts, None))()) is not None:
        yield part
