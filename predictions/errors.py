"""What a predict call can meet beyond the errors that every part of the console knows."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from core.lib.errors import ConsoleError, StillAtWork, Unavailable


class NotJSON(ConsoleError):
    """The body cannot be read."""

    status = 400
    title = _("Bad request")


class UnknownKind(ConsoleError):
    """A body of a kind that is not read here."""

    status = 415
    title = _("Unsupported content type")


class TooLarge(ConsoleError):
    """More bytes or rows than one call may carry."""

    status = 413
    title = _("Too large")


class Forbidden(ConsoleError):
    """The token is known, and its scopes do not cover this."""

    status = 403
    title = _("Not allowed")


class Busy(Unavailable):
    """As many calls are being answered as this process takes at once."""

    status = 429
    title = _("Too many requests")


class NotRecorded(Unavailable):
    """Nobody confirmed the records. ids: may appear later, marked unanswered; none where nothing was sent."""

    def __init__(self, message: str, *, ids: list[str], retry_after_s: int = 5) -> None:
        super().__init__(message, service="kafka", retry_after_s=retry_after_s)
        self.ids = ids


def headers_of(error: ConsoleError) -> dict[str, str]:
    """The HTTP headers that go with the error."""
    if isinstance(error, StillAtWork | Unavailable):
        return {"Retry-After": str(error.retry_after_s)}
    return {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}


def extra_of(error: ConsoleError) -> dict[str, Any]:
    """Members of the problem document beyond the usual ones."""
    return {"ids": error.ids} if isinstance(error, NotRecorded) else {}
