"""Errors as people and programs meet them: a problem document under /api, a fragment for htmx, else a page.

`handler400` … `handler500` are what Django calls when nothing below did. A page is drawn even when the
database, which knows who is signed in, is the very thing that is away.
"""

import sys

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from core.lib import bodies, context, problems
from core.lib.errors import ConsoleError
from core.lib.htmx import is_htmx

log = structlog.get_logger(__name__)

LEFT = 499  # nobody reads it; in logs and metrics as nginx has it
NO_DATABASE = (OperationalError, InterfaceError)


def is_api(request: HttpRequest) -> bool:
    """Whether the caller is a program that expects problem documents."""
    return request.path.startswith("/api/") or is_inference(request)


def is_inference(request: HttpRequest) -> bool:
    """Whether the caller speaks the Open Inference Protocol, whose errors are in `error`."""
    return request.path == "/v2" or request.path.startswith("/v2/")


def error_page(
    request: HttpRequest, status: int, title: str, message: str, *, what_next: str = ""
) -> HttpResponse:
    """The error as a fragment for htmx, else a page within the shell, else (no database) a page alone.

    what_next: the next step, where the usual one of this status does not fit.
    """
    values = {
        "status": status,
        "title": title,
        "message": message,
        "what_next": what_next,
        "request_id": context.request_id.get(),
    }
    if is_htmx(request):
        return HttpResponse(render_to_string("_shared/_error.html", values), status=status)
    try:
        return render(request, "errors/page.html", values, status=status)
    except DatabaseError:
        return _bare_page(values)


def _bare_page(values: dict) -> HttpResponse:
    return HttpResponse(render_to_string("errors/signed_out.html", values), status=values["status"])


def answer(request: HttpRequest, status: int, title: str, message: str) -> HttpResponse:
    """The error in the form that the caller understands."""
    if is_api(request):
        return problems.response(status, title, message)
    return error_page(request, status, title, message)


def show_error(request: HttpRequest, error: Exception) -> HttpResponse | None:
    """What was raised, as the caller understands it; None for a bug: that stays a 500 with a traceback."""
    if isinstance(error, NO_DATABASE):
        return no_database(request, error)
    if isinstance(error, bodies.Gone):
        return HttpResponse(status=LEFT)
    if is_api(request):
        return problems.from_exception(error)
    match error:
        case ConsoleError():
            response = error_page(request, error.status, str(error.title), error.message)
            for name, value in problems.headers_of(error).items():
                response[name] = value
            return response
        case PermissionDenied():
            return handler403(request, error)
        case Http404():
            return handler404(request, error)
        case RequestDataTooBig():
            return handler400(request, error)
    return None


def no_database(request: HttpRequest, error: Exception) -> HttpResponse:
    """PostgreSQL does not answer: nothing that needs it (even the name of the user) may be asked."""
    log.error("database.unavailable", error=str(error).strip())
    if is_api(request):
        response = problems.from_exception(error)
        assert response is not None
    elif is_htmx(request):
        response = error_page(request, 503, _("Not available"), problems.no_database_detail())
    else:
        values = {"status": 503, "title": _("Not available"), "message": problems.no_database_detail()}
        response = _bare_page({**values, "request_id": context.request_id.get()})
    response["Retry-After"] = "5"
    return response


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    """A request that Django itself refuses: a foreign host, too large a body."""
    if isinstance(exception, RequestDataTooBig):
        return answer(request, 413, _("Too large"), _("This is more than the console takes in one request."))
    title, message = _("Bad request"), _("The console could not read this request.")
    if is_api(request):
        return problems.response(400, title, message)
    values = {"status": 400, "title": title, "message": message, "request_id": context.request_id.get()}
    return _bare_page(values)  # the host may be what is wrong: nothing that needs it


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Somebody may not do this."""
    message = getattr(exception, "message", str(exception)) or _("You may not do this.")
    return answer(request, 403, _("Not allowed"), message)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    """No such address, or nothing there."""
    return answer(request, 404, _("Not found"), _("There is nothing at this address."))


def handler500(request: HttpRequest) -> HttpResponse:
    """A bug, logged with its traceback; or the database went away outside of a view, in session or access."""
    error = sys.exc_info()[1]
    if isinstance(error, NO_DATABASE):
        response = no_database(request, error)
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django would add a traceback for each request
        return response
    message = _(
        "This is a fault of the console, not yours. It was logged; tell an administrator the request's id."
    )
    try:
        return answer(request, 500, _("Something went wrong"), message)
    except Exception:  # the fault may be in what every page is made of
        log.exception("error_page.broken")
        return HttpResponse(message, status=500, content_type="text/plain; charset=utf-8")
