"""Around every request: its id and address for logs and audit; errors as pages, fragments or problem documents."""

import re
import uuid
from collections.abc import Callable

import structlog
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

from console.lib import context, problems
from console.lib.errors import ConsoleError

log = structlog.get_logger(__name__)

_SAFE_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")

Handler = Callable[[HttpRequest], HttpResponse]


class RequestContextMiddleware:
    """Gives the request an id (the caller's own if it is a plain one), says it in the answer, and logs the request."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _SAFE_ID.match(given) else uuid.uuid4().hex
        context.request_id.set(request_id)
        context.remote_addr.set(request.META.get("REMOTE_ADDR", ""))
        response = self.get_response(request)
        response["X-Request-ID"] = request_id
        return response


class ErrorPagesMiddleware:
    """Shows what a view raised: problem+json under /api, a fragment to htmx, a page to everybody else."""

    def __init__(self, get_response: Handler) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """None for a bug, which stays a 500 with a traceback in the log."""
        if request.path.startswith(("/api/", "/v2/")):
            return problems.from_exception(error)
        match error:
            case ConsoleError():
                return error_page(request, error.status, str(error.title), error.message)
            case PermissionDenied():
                return error_page(request, 403, _("Not allowed"), getattr(error, "message", str(error)))
            case Http404():
                return error_page(request, 404, _("Not found"), _("There is nothing at this address."))
            case OperationalError():
                log.error("database.unavailable", error=str(error))
                message = _("The console's database does not answer. Try again in a moment.")
                return error_page(request, 503, _("Not available"), message)
        return None


def error_page(request: HttpRequest, status: int, title: str, message: str) -> HttpResponse:
    """The error as a fragment for htmx, else as a page."""
    template = "_shared/_error.html" if request.headers.get("HX-Request") == "true" else "errors/page.html"
    values = {"status": status, "title": title, "message": message, "request_id": context.request_id.get()}
    return render(request, template, values, status=status)
