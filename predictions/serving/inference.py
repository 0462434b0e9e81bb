"""The Open Inference Protocol beside the predict path: the same callers, checks, records and limits."""

from typing import Any, Final

from django.utils.translation import gettext as _

from core.lib import json_out, problems
from core.lib.bodies import Receive, Reply, Scope
from core.lib.errors import NotFound, Unavailable
from predictions.serving import binary_tensors, open_inference
from predictions.serving.application import PredictApp, header
from predictions.serving.callers import Caller
from predictions.serving.engine import Answer, Engine
from predictions.serving.served import Served
from scoring.check import Rows

_JSON_BYTES: Final = binary_tensors.HEADER.lower().encode()


class InferenceApp(PredictApp):
    """Answers /v2 and /v2/models/… to callers with a token. Health needs none: it is the process's own."""

    def __init__(self, beside: PredictApp) -> None:
        """beside: what answers other predictions of this process, from the same service and room."""
        super().__init__(beside.service, room=beside.room)

    def matches(self, scope: Scope) -> bool:
        """Whether the call is this application's: one with a session goes to Django."""
        return (
            scope["type"] == "http"
            and scope["path"].startswith("/v2")
            and scope["method"] in open_inference.methods(scope["path"])
            and any(name == b"authorization" for name, _value in scope["headers"])
        )

    def named(self, path: str) -> tuple[str, str]:
        found = open_inference.PATH.fullmatch(path)
        if found is None or found["model"] is None:
            return "", f"GET {path}"
        version = "/versions/{version}" if found["version"] else ""
        method = "POST" if found["verb"] == "/infer" else "GET"
        return found["model"], f"{method} /v2/models/{{name}}{version}{found['verb'] or ''}"

    def told(self, error: Reply) -> Reply:
        status, content, headers = error
        return status, problems.with_error(content), headers

    async def answer(
        self, scope: Scope, body: bytes, caller: Caller, request_id: str, receive: Receive
    ) -> bytes:
        found = open_inference.PATH.fullmatch(scope["path"])
        assert found is not None
        if found["model"] is None:
            return json_out.encode(server())
        engine = self.service.engine
        served = champion(engine, found["model"], found["version"])
        if found["verb"] != "/infer":
            return json_out.encode(ready(served) if found["verb"] else about(served))
        kind, json_bytes = header(scope, b"content-type"), header(scope, _JSON_BYTES)
        call = Inference(body, kind, json_bytes=json_bytes)
        answer = await engine.predict(served, call.decode, caller, source="api", request_id=request_id)
        return call.answered(answer, served)


class Inference:
    """One call: read for the model that answers it, and answered as it asks."""

    def __init__(self, body: bytes, content_type: str, *, json_bytes: str) -> None:
        """json_bytes: the header of a call with binary tensors; empty where there is none."""
        self._body = body
        self._content_type = content_type
        self._json_bytes = json_bytes
        self._request = open_inference.Request([], [], "")

    def decode(self, served: Served) -> Rows:
        """Raises CheckError."""
        self._request = open_inference.read(
            self._body, served.spec, content_type=self._content_type, json_bytes=self._json_bytes
        )
        return served.decoder.decode_rows(self._request.rows)

    def answered(self, answer: Answer, served: Served) -> bytes:
        """The tensors that were asked for."""
        return json_out.encode(
            open_inference.answer(
                self._request,
                served.spec,
                model=answer.model,
                version=answer.version,
                request_id=answer.request_id,
                given=answer.predictions,
            )
        )


def champion(engine: Engine, model: str, version: str | None) -> Served:
    """Raises NotFound, Conflict. version: None for whichever answers."""
    served = engine.champion(model)
    if version not in (None, served.ref.version):
        words = _("Version %(version)s of %(model)s does not answer: its champion is version %(champion)s.")
        values = {"version": str(version)[:100], "model": model, "champion": served.ref.version}
        raise NotFound(words % values)
    return served


def server() -> dict[str, Any]:
    """Of the protocol: what answers here."""
    return {"name": "atalaya", "version": "1", "extensions": [binary_tensors.NAME]}


def about(served: Served) -> dict[str, Any]:
    """Of the protocol: what the model takes and gives."""
    ref = served.ref
    return open_inference.metadata(
        served.spec, model=ref.model, version=ref.version, is_compiled=ref.serve_as == "onnx"
    )


def ready(served: Served) -> dict[str, Any]:
    """Raises Unavailable."""
    if not served.is_alive:
        words = _("%(model)s does not answer at this moment: its process is started again.")
        raise Unavailable(words % {"model": served.ref.model})
    return {"name": served.ref.model, "ready": True}


def health(path: str, *, is_ready: bool) -> Reply:
    """Of the process, for /v2/health/live and /v2/health/ready."""
    is_well = is_ready or path.endswith("/live")
    content = {path.rpartition("/")[2]: is_well}
    return (200 if is_well else 503), json_out.encode(content), [(b"content-type", b"application/json")]
