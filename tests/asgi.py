"""An ASGI application behind an ordinary httpx client: no server, no port."""

import asyncio

import httpx
from starlette.types import ASGIApp


class Transport(httpx.BaseTransport):
    """Each call in an event loop of its own."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._handed_on(request))

    async def _handed_on(self, request: httpx.Request) -> httpx.Response:
        inner = httpx.ASGITransport(self._application)
        async with httpx.AsyncClient(transport=inner) as client:
            answer = await client.send(
                client.build_request(request.method, request.url, headers=request.headers)
            )
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def client(application: ASGIApp) -> httpx.Client:
    return httpx.Client(transport=Transport(application), base_url="http://course-api")
