"""The predict application alone, for heavy clients: `python -m uvicorn predictions.serving:app`."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup()

from django.utils.translation import gettext as _  # noqa: E402

from core.lib import collector, json_out, metrics, problems, sockets  # noqa: E402
from core.lib.bodies import Receive, Reply, Scope, Send  # noqa: E402
from core.lib.errors import NotFound  # noqa: E402
from predictions.serving import inference, open_inference  # noqa: E402
from predictions.serving.application import PredictApp, is_predict_path, problem  # noqa: E402
from predictions.serving.inference import InferenceApp  # noqa: E402
from predictions.serving.service import Service, service  # noqa: E402


class ServingApp:
    """The predict path and this process's own health; everything else is not found."""

    def __init__(self, found: Service | None = None) -> None:
        self._service = found or service()
        self._predict = PredictApp(self._service)
        self._inference = InferenceApp(self._predict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await sockets.refuse(scope, receive, send)
        elif scope["type"] == "http":
            if scope["method"] == "POST" and is_predict_path(scope["path"]):
                await self._predict(scope, receive, send)
            elif scope["method"] in open_inference.methods(scope["path"]):
                await self._inference(scope, receive, send)
            else:
                await _send(send, self._page(scope["method"], scope["path"]))

    def _page(self, method: str, path: str) -> Reply:
        if method in {"GET", "HEAD"} and path in open_inference.HEALTH:
            return inference.health(path, is_ready=self._service.readiness()["is_ready"])
        if is_predict_path(path):
            return _not_allowed(_("Send the rows with POST."), "POST")
        if taken := open_inference.methods(path):
            words = _("This address does not take %(method)s.") % {"method": method}
            return self._inference.told(_not_allowed(words, ", ".join(taken)))
        if method in {"GET", "HEAD"} and path == "/livez":
            return 200, b"ok\n", [(b"content-type", b"text/plain; charset=utf-8")]
        if method in {"GET", "HEAD"} and path == "/readyz":
            return self._readyz()
        if method in {"GET", "HEAD"} and path == "/metrics":
            return 200, metrics.exposition(), [(b"content-type", metrics.CONTENT_TYPE.encode())]
        nothing = problem(NotFound(_("There is nothing at this address.")))
        return self._inference.told(nothing) if path.startswith("/v2/") else nothing

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
                await self._inference.shutdown()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _not_allowed(words: str, allowed: str) -> Reply:
    content = json_out.encode(problems.body(405, problems.TITLES[405], words))
    return 405, content, [(b"content-type", b"application/problem+json"), (b"allow", allowed.encode())]


async def _send(send: Send, reply: Reply) -> None:
    status, body, headers = reply
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


app = ServingApp()
