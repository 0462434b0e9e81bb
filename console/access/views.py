"""Signing in and out, users and roles, API tokens."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from console.middleware import error_page


def locked_out(request: HttpRequest, credentials: dict, *_args: object, **_kwargs: object) -> HttpResponse:
    """What django-axes shows after too many wrong passwords."""
    message = _("Five wrong passwords in a row. Wait 15 minutes and try again, or ask an administrator.")
    return error_page(request, 429, _("Too many attempts"), message)
