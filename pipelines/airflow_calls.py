"""How Airflow is called: with a time limit, in pages, and with its errors and the transport's as ours.

Answers are read as plain JSON, not through the client's typed models: those refuse a whole page for one
state that is newer than they are.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar

import urllib3
from airflow_client.client import ApiClient
from airflow_client.client.exceptions import ApiException, OpenApiException
from django.utils.translation import gettext as _

from core.lib.aside import Unread
from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound, Unauthorized, Unavailable
from pipelines import answers
from pipelines.airflow_auth import SERVICE
from pipelines.airflow_pages import Failed, Listed, all_of, listed

CONNECT_S, READ_S = 2.0, 10.0
LARGEST_VALUE = 1024 * 1024  # of what a page shows of a task, in bytes

_Meaning = TypeVar("_Meaning")


class AirflowCalls:
    """One caller's way to Airflow; what is asked for on it stands in `dag_calls` and its like."""

    def __init__(self, client: ApiClient, timeout: tuple[float, float]) -> None:
        self._client = client
        self._options = {"_request_timeout": timeout}

    def _bounded(self, call: Any, meaning: Callable[[Any], _Meaning], **arguments: Any) -> _Meaning | None:
        """None for an answer above LARGEST_VALUE, of which no more is read."""
        with translated():
            answer = call(**{**self._options, **arguments})
            try:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    checked(answer)
                body = answer.read(LARGEST_VALUE + 1)
            finally:
                answer.close()
                answer.release_conn()
            return None if len(body) > LARGEST_VALUE else meaning(json.loads(body))

    def _read(self, call: Any, meaning: Callable[[Any], _Meaning], **arguments: Any) -> _Meaning:
        with translated():
            answer = checked(call(**{**self._options, **arguments}))
            return meaning(json.loads(answer.data) if answer.data else None)

    def _pages(
        self,
        call: Any,
        list_name: str,
        meaning: Callable[[Any], _Meaning],
        key: Callable[[Any], str],
        name: Callable[[Any], str] | None = None,
        **arguments: Any,
    ) -> list[_Meaning | Unread]:
        def page(offset: int, size: int) -> Listed:
            return self._read(
                call, lambda answer: listed(answer, list_name), limit=size, offset=offset, **arguments
            )

        return answers.read(all_of(page, name or key), meaning, key)

    def _dated_pages(
        self,
        call: Any,
        list_name: str,
        name: Callable[[Any], str],
        *,
        most: int | None = None,
        **arguments: Any,
    ) -> tuple[list[Any], datetime]:
        """The items of a list, and the time by Airflow's clock when it gave the first of them."""
        looked_at = []

        def page(offset: int, size: int) -> Listed:
            with translated():
                answer = checked(call(**arguments, limit=size, offset=offset, **self._options))
                found = listed(json.loads(answer.data), list_name)
            looked_at.append(answers.http_date(answer.headers.get("Date")))
            return found

        return all_of(page, name, most=most), looked_at[0]


def checked(answer: urllib3.BaseHTTPResponse) -> urllib3.BaseHTTPResponse:
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise ApiException(http_resp=answer, body=answer.data.decode(errors="replace"))
    return answer


@contextmanager
def translated() -> Iterator[None]:
    """The one place where the client's exceptions, and those of the transport beneath it, become ours."""
    try:
        yield
    except ApiException as error:
        raise _from_status(error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(_("Airflow is not answering."), service=SERVICE) from error
    except (OpenApiException, ValueError, KeyError, TypeError) as error:
        message = _("Airflow gave an answer that the console does not understand: %(error)s")
        raise Unavailable(message % {"error": str(error)[:200]}, service=SERVICE) from error


def _from_status(error: ApiException) -> ConsoleError:
    words = answers.words_of_error(error.body or "") or str(error.reason)
    match error.status:
        case 404:
            return NotFound(words, service=SERVICE)
        case 409:
            return Conflict(words, service=SERVICE)
        case 400 | 422:
            return InvalidRequest(words, service=SERVICE, errors=answers.fields_of_error(words))
        case 403 if answers.is_of_respondent(words):
            return InvalidRequest(words, service=SERVICE)
        case 401 | 403:
            message = _("Airflow refused the console's own credentials: %(words)s")
            return Unauthorized(message % {"words": words}, service=SERVICE)
    message = _("Airflow could not answer (%(status)s): %(words)s")
    kind = Failed if error.status == HTTPStatus.INTERNAL_SERVER_ERROR else Unavailable
    return kind(message % {"status": error.status, "words": words[:200]}, service=SERVICE)
