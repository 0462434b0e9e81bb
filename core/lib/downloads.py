"""Files that are sent while they are made: no part of them waits in memory for the rest."""

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header


def response(
    request: HttpRequest, parts: Iterator[bytes], *, name: str, content_type: str
) -> StreamingHttpResponse:
    """`parts` as a download called `name`."""
    content = _in_a_thread(parts) if isinstance(request, ASGIRequest) else parts
    headers = {
        "Content-Disposition": str(content_disposition_header(True, name)),
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        # Django would compress each part by itself under ASGI, and browsers read the first of them alone.
        "Content-Encoding": "identity",
    }
    return StreamingHttpResponse(content, content_type=content_type, headers=headers)


async def _in_a_thread(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """ASGI wants an asynchronous iterator, or it would read everything first."""
    while (part := await sync_to_async(lambda: next(parts, None))()) is not None:
        yield part
