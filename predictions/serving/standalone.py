"""The predict application alone, for heavy clients: `python -m uvicorn predictions.serving:app`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup()

from django.utils.translation import gettext as _  # noqa: E402

from core.lib import collector, json_out, metrics, problems, sockets  # noqa: E402
from core.lib.bodies import Receive, Reply, Scope, Send  # noqa: E402
from core.lib.errors import NotFound  # noqa: E402
from predictions.serving.application import PredictApp, is_predict_path, problem  # noqa: E402
from predictions.serving.service import Service, service  # noqa: E402


class ServingApp:
    """The predict path and this process's own health; everything else is not found."""

    def __init__(self, found: Service | None = None) -> None:
        self._service = found or service()
        self._predict = PredictApp(self._service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await sockets.refuse(scope, receive, send)
        elif scope["type"] == "http":
            if scope["method"] == "POST" and is_predict_path(scope["path"]):
                await self._predict(scope, receive, send)
            else:
                await _send(send, self._page(scope["method"], scope["path"]))

    def _page(self, method: str, path: str) -> Reply:
        if is_predict_path(path):
            content = problems.body(405, problems.TITLES[405], _("Send the rows with POST."))
            return (
                405,
                json_out.encode(content),
                [(b"content-type", b"application/problem+json"), (b"allow", b"POST")],
            )
        if method in {"GET", "HEAD"} and path == "/livez":
            return 200, b"ok\n", [(b"content-type", b"text/plain; charset=utf-8")]
        if method in {"GET", "HEAD"} and path == "/readyz":
            return self._readyz()
        if method in {"GET", "HEAD"} and path == "/metrics":
            return 200, metrics.exposition(), [(b"content-type", metrics.CONTENT_TYPE.encode())]
        return problem(NotFound(_("There is nothing at this address.")))

    def _readyz(self) -> Reply:
        found = self._service.readiness()
        return (
            (200 if found["is_ready"] else 503),
            json_out.encode(found),
            [(b"content-type", b"application/json")],
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._predict.startup()
                collector.spare_what_stays()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self._predict.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return


async def _send(send: Send, reply: Reply) -> None:
    status, body, headers = reply
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = ServingApp()
