"""Websockets to where there are none: told so in the handshake, by the console and by serving."""

import pytest

from console.asgi import application
from predictions.serving.standalone import ServingApp


async def shaken(app, path, extensions):
    """What the application sends to a handshake."""
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    await app({"type": "websocket", "path": path, "headers": [], "extensions": extensions}, receive, send)
    return sent


@pytest.mark.parametrize("app", [application, ServingApp()])
@pytest.mark.parametrize("path", ["/ws/other", "/", "/ws/live/x", "/ws/²"])
async def test_a_socket_that_leads_nowhere_is_not_found(app, path):
    start, body = await shaken(app, path, {"websocket.http.response": {}})
    assert (start["status"], b"no websocket" in body["body"]) == (404, True)


async def test_a_server_without_words_closes():
    assert await shaken(ServingApp(), "/ws/live", {}) == [{"type": "websocket.close"}]
