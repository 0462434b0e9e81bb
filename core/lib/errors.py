"""What can go wrong between the console and a service, in words for the person who met it.

A gateway raises these; pages and REST show them (`console.middleware`, `core.lib.problems`).
"""

from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class ConsoleError(Exception):
    """Something a person can act on. `message` says what happened, to what, and what to do next.

    service: the name of the service that said so, if one did.
    errors: faults of single fields, each {"field": …, "message": …, …}.
    """

    status: ClassVar[int] = 500
    title: ClassVar[str | Promise] = _("Something went wrong")
    retry_after_s: int | None = None

    def __init__(self, message: str, *, service: str = "", errors: list[dict] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.service = service
        self.errors = errors or []


class NotSignedIn(ConsoleError):
    """Nobody is known by what the caller showed."""

    status = 401
    title = _("Not signed in")


class NotFound(ConsoleError):
    """The service has no such thing."""

    status = 404
    title = _("Not found")


class Conflict(ConsoleError):
    """A sound request at the wrong moment."""

    status = 409
    title = _("Conflict")


class StillAtWork(Conflict):
    """The same call is being answered at this moment. Asking again in a while is right."""

    retry_after_s = 2


class InvalidRequest(ConsoleError):
    """The values were refused; the words of the service that did so are kept."""

    status = 422
    title = _("Not valid")


class Unauthorized(ConsoleError):
    """The service refused the console's own credentials."""

    status = 502
    title = _("A service refused the console")


class Unavailable(ConsoleError):
    """No usable answer in time. Trying again later is right."""

    status = 503
    title = _("Not available")

    def __init__(self, message: str, *, service: str = "", retry_after_s: int = 5) -> None:
        super().__init__(message, service=service)
        self.retry_after_s = retry_after_s
