"""The ASGI side of the predict path: reads the request, calls the engine, writes the answer."""

import os
import re
import time
from typing import Any

import structlog
from django.utils.translation import gettext as _

from core.lib import bodies, context, idempotency, json_out, problems, traces
from core.lib import redis as console_redis
from core.lib.bodies import Receive, Reply, Scope, Send
from core.lib.errors import ConsoleError
from predictions.errors import TooLarge, extra_of, headers_of
from predictions.serving import metrics, mlflow_bodies
from predictions.serving.callers import Caller
from predictions.serving.served import Served
from predictions.serving.service import Service, service
from scoring.check import MAX_BYTES, Rows

log = structlog.get_logger(__name__)

# Of all calls that nobody has answered yet.
MOST_HELD_BYTES = 128 * MAX_BYTES

PREFIX = "/api/v1/models/"
VERBS = frozenset({"predict", "explain", "invocations"})
_SAFE_ID = re.compile(rb"^[A-Za-z0-9._-]{8,64}$")
_JSON = [(b"content-type", b"application/json")]
_PROBLEM = (b"content-type", b"application/problem+json")


class PredictApp:
    """Answers POST /api/v1/models/<name>/predict, /invocations and /explain to callers with a token."""

    def __init__(self, found: Service | None = None, *, room: bodies.Room | None = None) -> None:
        self.service = found or service()
        self.room = room or bodies.Room(MOST_HELD_BYTES)
        self._redis: Any = None

    def matches(self, scope: Scope) -> bool:
        """Whether the call is this application's: one with a session goes to Django."""
        return (
            scope["type"] == "http"
            and scope["method"] == "POST"
            and is_predict_path(scope["path"])
            and any(name == b"authorization" for name, _value in scope["headers"])
        )

    async def startup(self) -> None:
        """Begin to keep champions and tokens current. Raises nothing when services are away."""
        await self.service.start()

    async def shutdown(self) -> None:
        """Wait for records under way, then let go of everything."""
        await self.service.stop()
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        token = context.request_id.set(request_id)
        try:
            if traces.is_on:
                status, body, extra = await self._traced(scope, headers, receive, request_id)
            else:
                status, body, extra = await self._reply(scope, headers, receive, request_id)
        except bodies.Gone:
            return  # nobody hears an answer
        finally:
            context.request_id.reset(token)
        extra = [*extra, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
        await send({"type": "http.response.start", "status": status, "headers": extra})
        await send({"type": "http.response.body", "body": body})
        if scope["method"] == "POST":  # else it asks about a model
            metrics.answered(status, time.perf_counter() - started)

    async def _traced(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, request_id: str
    ) -> Reply:
        """The same within a span, which its records carry on into Kafka."""
        parent = headers.get(traces.HEADER.encode(), b"").decode("latin-1")
        model, name = self.named(scope["path"])
        with traces.span(name, parent=parent, kind="SERVER", **{"atalaya.request_id": request_id}) as span:
            reply = await self._reply(scope, headers, receive, request_id)
            span.set_attributes({"atalaya.model": model, "http.response.status_code": reply[0]})
            if reply[0] >= 500:
                traces.has_failed(span)
        return reply

    async def _reply(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, request_id: str
    ) -> Reply:
        try:
            caller = self.service.callers.authenticate(headers.get(b"authorization"))
            with self.room.share() as share:
                body = await _read(share, headers, receive)
                key = headers.get(b"idempotency-key")
                if key is None or scope["method"] != "POST":
                    return 200, await self.answer(scope, body, caller, request_id, receive), _JSON
                return await self._answer_once(scope, body, caller, request_id, receive, key)
        except ConsoleError as error:
            return self.told(problem(error))
        except bodies.Refused as why:
            return self.told(bodies.reply(why))
        except bodies.Gone:
            raise
        except Exception:
            log.exception("predict.failed", path=scope["path"])
            content = problems.body(
                500, problems.TITLES[500], _("This is a fault of the console; it is in its log.")
            )
            return self.told((500, json_out.encode(content), [_PROBLEM]))

    def named(self, path: str) -> tuple[str, str]:
        """The model, and what the call is called in traces."""
        model, _slash, verb = path[len(PREFIX) :].partition("/")
        return model, f"POST {PREFIX}{{name}}/{verb}"

    def told(self, error: Reply) -> Reply:
        """An error as this application's callers expect it."""
        return error

    async def answer(
        self, scope: Scope, body: bytes, caller: Caller, request_id: str, receive: Receive
    ) -> bytes:
        """Raises ConsoleError, bodies.Gone."""
        model, _slash, verb = scope["path"][len(PREFIX) :].partition("/")

        def decode(served: Served) -> Rows:
            if verb == "invocations":
                return mlflow_bodies.decode(served.decoder, body, header(scope, b"content-type"))
            return served.decoder.decode(body)

        engine = self.service.engine
        served = engine.champion(model)
        if verb == "explain":
            return json_out.encode(await bodies.unless_left(engine.explain(served, decode), receive))
        answer = await engine.predict(served, decode, caller, source="api", request_id=request_id)
        return answer.json() if verb == "predict" else mlflow_bodies.answered(answer.predictions)

    async def _answer_once(
        self, scope: Scope, body: bytes, caller: Caller, request_id: str, receive: Receive, key: bytes
    ) -> Reply:
        """The first answer given to this key, now or before."""
        if self._redis is None:
            self._redis = console_redis.async_client()
        path = scope["path"]
        found = await idempotency.abegin(self._redis, caller.user_id, path, key.decode("latin-1"), body)
        if isinstance(found, idempotency.Replay):
            replay = (idempotency.REPLAY_HEADER.lower().encode(), b"true")
            return found.status, found.body, [(b"content-type", found.content_type.encode()), replay]
        try:
            answer = await self.answer(scope, body, caller, request_id, receive)
        except ConsoleError as error:
            status, content, _headers = self.told(problem(error))
            await _end(found, status, "application/problem+json", content)
            raise
        except BaseException:
            await _end(found, 500, "", b"")
            raise
        await _end(found, 200, "application/json", answer)
        return 200, answer, _JSON


async def _end(claim: idempotency.Claim, status: int, content_type: str, body: bytes) -> None:
    """Keep what is final. The work is done and recorded: without Redis only a repetition goes unnoticed."""
    try:
        if idempotency.is_kept(status):
            await claim.akeep(status, content_type, body)
        else:
            await claim.adrop()
    except ConsoleError as error:
        log.warning("idempotency.not_kept", error=error.message)


def header(scope: Scope, name: bytes) -> str:
    """Its first value; empty where there is none."""
    return next((value.decode("latin-1") for found, value in scope["headers"] if found == name), "")


def is_predict_path(path: str) -> bool:
    """/api/v1/models/<name>/<verb>"""
    if not path.startswith(PREFIX):
        return False
    name, _slash, verb = path[len(PREFIX) :].partition("/")
    return bool(name) and verb in VERBS


async def _read(share: bodies.Share, headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """Raises TooLarge, bodies.Refused, bodies.Gone."""
    try:
        return await share.read(headers, receive, most_bytes=MAX_BYTES)
    except bodies.TooLong as error:
        raise TooLarge(_("A call may carry at most 1 MiB: send fewer rows.")) from error


def problem(error: ConsoleError) -> Reply:
    """The error as a problem document."""
    content = problems.body(error.status, str(error.title), error.message, error.errors) | extra_of(error)
    headers = [(name.lower().encode(), value.encode()) for name, value in headers_of(error).items()]
    return error.status, json_out.encode(content), [_PROBLEM, *headers]


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id", b"")
    return given.decode() if given and _SAFE_ID.match(given) else os.urandom(16).hex()
