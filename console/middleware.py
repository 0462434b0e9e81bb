"""Around every request: its id, a log line and a metric; errors as pages or problems; Idempotency-Key."""

import codecs
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from core.lib import addresses, context, error_pages, idempotency, metrics, problems, traces
from core.lib.errors import ConsoleError
from core.lib.htmx import is_htmx

log = structlog.get_logger("console.http")

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

# Asked by machines every few seconds: counted, not logged.
_QUIET_VIEWS = {"console:livez", "console:readyz", "console:metrics", "v2:live", "v2:ready"}
_QUIET_PATHS = {"/livez", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"}

Handler = Callable[[HttpRequest], HttpResponse]


class RequestContextMiddleware:
    """Gives the request an id (the caller's own if it is a plain one), and logs the request."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not traces.is_on or _is_asked_by_machines(request):
            return self._answer(request)
        given = request.headers.get(traces.HEADER)
        with traces.span(request.method or "", parent=given, kind="SERVER") as span:
            response = self._answer(request)
            _tell(span, request, response)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        request.drawn_ms = int(time.time() * 1000)  # type: ignore[attr-defined]  # see live.js
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        context.request_id.set(request_id)
        context.remote_addr.set(addresses.of(request))
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        if not request.path.startswith(settings.STATIC_URL):
            response.headers.setdefault("Cache-Control", "private, no-store")
            _note(request, response, time.perf_counter() - started)
        return response


def _is_asked_by_machines(request: HttpRequest) -> bool:
    return request.path in _QUIET_PATHS or request.path.startswith(settings.STATIC_URL)


def _tell(span: Any, request: HttpRequest, response: HttpResponse) -> None:
    """Names as OpenTelemetry's conventions for HTTP have them. What stands in a query may be personal."""
    route = f"/{request.resolver_match.route}" if request.resolver_match else ""
    span.update_name(f"{request.method} {route}".strip())
    span.set_attributes(
        {
            "http.request.method": request.method or "",
            "http.route": route,
            "http.response.status_code": response.status_code,
            "atalaya.request_id": context.request_id.get(),
        }
    )
    if response.status_code >= 500:
        traces.has_failed(span)


def _note(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    view = request.resolver_match.view_name if request.resolver_match else "none"
    metrics.observe_http(view, request.method or "other", response.status_code, seconds)
    if view not in _QUIET_VIEWS:
        log.info(
            "http.request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round(seconds * 1000, 1),
            user=_user_name(request),
        )


def _user_name(request: HttpRequest) -> str:
    """Who asked, if the request had to find that out anyway: logging asks the database nothing."""
    token = getattr(request, "auth_token", None)
    user = token.user if token is not None else getattr(request, "_cached_user", None)
    return user.get_username() if user is not None else ""


class ErrorPagesMiddleware:
    """Shows what a view raised: problem+json under /api, a fragment to htmx, a page to everybody else."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._answer(request)
        if error_pages.is_inference(request) and response.get("Content-Type") == "application/problem+json":
            response.content = problems.with_error(response.content)
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if "\x00" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            # PostgreSQL takes none, in whichever filter or name it would end up.
            message = _("An address holds no null character. Take it out and ask again.")
            return error_pages.answer(request, 400, _("Bad request"), message)
        if not _is_utf8(request.encoding):
            message = _("The console reads UTF-8 only. Send UTF-8, and say so in the Content-Type.")
            return error_pages.answer(request, 415, _("Unknown content type"), message)
        response = self.get_response(request)
        if response.status_code == 405 and not response.content:  # what Django's require_* decorators answer
            message = _("This address does not take %(method)s.") % {"method": request.method}
            page = error_pages.answer(request, 405, _("Method not allowed"), message)
            page["Allow"] = response["Allow"]
            return page
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """None for a bug, which stays a 500 with a traceback in the log."""
        return error_pages.show_error(request, error)


def _is_utf8(encoding: str | None) -> bool:
    """Or ASCII, which is some of it. Python knows other codecs too that parsers of bodies fail at."""
    try:
        return codecs.lookup(encoding or "utf-8").name in {"utf-8", "ascii"}
    except (LookupError, ValueError):
        return False


class FragmentMiddleware:
    """Sends htmx a fragment without white space around it: each morph would leave that beside the element."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_markup = response.get("Content-Type", "").startswith("text/html")
        if is_htmx(request) and is_markup and not response.streaming:
            response.content = response.content.strip()
        return response


class IdempotencyMiddleware:
    """Honours `Idempotency-Key` on every POST under /api, after it is known who asks and that they may."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        claim = getattr(request, "idempotency_claim", None)
        if claim is not None:
            _end(claim, response)
        return response

    def process_view(self, request: HttpRequest, view: Any, _args: Any, _kwargs: Any) -> HttpResponse | None:
        """Claim the key, or answer as the first time; a view with `keeps_keys` does so itself."""
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method != "POST" or not error_pages.is_api(request):
            return None
        if getattr(getattr(view, "cls", None), "keeps_keys", False):
            return None
        if not request.user.is_authenticated:
            return None
        try:
            found = idempotency.begin(request.user.pk, request.path, key, request.body)
        except (ConsoleError, RequestDataTooBig) as error:  # what is raised here meets no other middleware
            return problems.from_exception(error)
        if isinstance(found, idempotency.Claim):
            request.idempotency_claim = found  # type: ignore[attr-defined]
            return None
        headers = {**found.headers, idempotency.REPLAY_HEADER: "true"}
        return HttpResponse(found.body, status=found.status, content_type=found.content_type, headers=headers)


def _may_be_kept(response: HttpResponse) -> bool:
    """Not a stream, nor what says itself that it is not to be stored: a new token's key stands in it."""
    is_secret = "no-store" in response.get("Cache-Control", "")
    return idempotency.is_kept(response.status_code) and not response.streaming and not is_secret


def _end(claim: idempotency.Claim, response: HttpResponse) -> None:
    try:
        if _may_be_kept(response):
            headers = {name: response[name] for name in ("Location", "Retry-After") if name in response}
            claim.keep(
                response.status_code, response.get("Content-Type", ""), bytes(response.content), headers
            )
        else:
            claim.drop()
    except ConsoleError as error:  # the work is done and answered; only a repetition would not be noticed
        log.warning("idempotency.not_kept", error=error.message)
