"""Errors of the REST API as `application/problem+json` (RFC 9457), for Django, DRF and the console's own."""

from typing import Any

import orjson
from django.core.exceptions import BadRequest, PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _lazy
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from core.lib import context, json_out
from core.lib.errors import ConsoleError

TITLES = {
    400: _lazy("Bad request"),
    401: _lazy("Not signed in"),
    403: _lazy("Not allowed"),
    404: _lazy("Not found"),
    405: _lazy("Method not allowed"),
    408: _lazy("Too slow"),
    409: _lazy("Conflict"),
    413: _lazy("Too large"),
    415: _lazy("Unsupported content type"),
    422: _lazy("Not valid"),
    429: _lazy("Too many requests"),
    500: _lazy("Something went wrong"),
    502: _lazy("A service refused the console"),
    503: _lazy("Not available"),
}


MOST_IN_WORDS = 10  # faults of a problem in its `error`


def body(status: int, title: str | Promise, detail: str, errors: list[dict] | None = None) -> dict[str, Any]:
    """The members of a problem document; `errors` only where single fields are at fault."""
    problem: dict[str, Any] = {"type": "about:blank", "title": str(title), "status": status, "detail": detail}
    if errors:
        problem["errors"] = [_described(error) for error in errors]
    if context.request_id.get():
        problem["request_id"] = context.request_id.get()
    return problem


def with_error(content: bytes) -> bytes:
    """A problem document as callers of /v2 read it: with `error`, the whole in one text.

    Their protocol, Open Inference, knows that member alone. What is no problem document stays as it is.
    """
    problem = orjson.loads(content)
    if not isinstance(problem, dict) or "detail" not in problem:
        return content
    faults = [_in_words(error) for error in problem.get("errors", [])[:MOST_IN_WORDS]]
    return json_out.encode(problem | {"error": " ".join([problem["detail"], *faults])})


def _in_words(error: dict[str, Any]) -> str:
    place = f"row {error['row']}: " if "row" in error else ""
    return f"[{place}{error['message']}]"


def _described(error: dict[str, Any]) -> dict[str, Any]:
    """`row` only where a row is at fault; `field` always, empty where no single one is."""
    known = {name: value for name, value in error.items() if value is not None}
    return {**known, "field": known.get("field", "")}


def response(
    status: int,
    title: str | Promise,
    detail: str,
    errors: list[dict] | None = None,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """A problem document as Django's response."""
    content = json_out.encode(body(status, title, detail, errors))
    return HttpResponse(content, status=status, content_type="application/problem+json", headers=headers)


def from_exception(error: Exception) -> HttpResponse | None:
    """The problem that an exception stands for; None when it is a bug."""
    match error:
        case ConsoleError():
            return response(error.status, str(error.title), error.message, error.errors, headers_of(error))
        case OperationalError() | InterfaceError():
            return response(503, TITLES[503], no_database_detail(), headers={"Retry-After": "5"})
        case RequestDataTooBig():
            return response(413, TITLES[413], _("This is more than the console takes in one request."))
        case BadRequest():
            return response(400, TITLES[400], str(error))
        case PermissionDenied():
            return response(
                403, TITLES[403], getattr(error, "message", str(error)) or _("You may not do this.")
            )
        case Http404():
            return response(404, TITLES[404], str(error) or _("There is nothing at this address."))
        case exceptions.ValidationError():
            return response(
                422, TITLES[422], _("Some values were not accepted."), _field_errors(error.detail)
            )
        case exceptions.APIException():
            return _from_drf(error)
    return None


def no_database_detail() -> str:
    """What to say while PostgreSQL does not answer."""
    return _("The console's database does not answer. Try again in a moment.")


def headers_of(error: ConsoleError) -> dict[str, str]:
    """Headers that belong to the error's status."""
    if error.retry_after_s is not None:
        return {"Retry-After": str(error.retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}


def _from_drf(error: exceptions.APIException) -> HttpResponse:
    headers = {}
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = str(auth_header)
    if wait_s := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait_s) + 1)
    title = TITLES.get(error.status_code, _("Error"))
    return response(error.status_code, title, str(error.detail), headers=headers)


def _field_errors(detail: Any, field: str = "") -> list[dict]:
    if isinstance(detail, dict):
        return [found for key, value in detail.items() for found in _field_errors(value, _joined(field, key))]
    if isinstance(detail, list):
        return [found for value in detail for found in _field_errors(value, field)]
    return [{"field": field, "message": str(detail)}]


def _joined(field: str, key: str) -> str:
    if key == "non_field_errors":
        return field
    return f"{field}.{key}" if field else str(key)


def handle(error: Exception, _context: dict[str, Any]) -> Response | HttpResponse | None:
    """DRF's exception handler: a problem document, or None for a bug, which stays a 500 with a traceback."""
    answer = from_exception(error)
    if answer is not None:
        set_rollback()
    return answer
