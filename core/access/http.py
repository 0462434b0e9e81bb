"""The request as a view meets it, for types: the middleware has let in nobody who is not signed in."""

from typing import cast

from django.http import HttpRequest
from rest_framework.request import Request

from core.access.models import ApiToken, User


class SignedInRequest(HttpRequest):
    """A request whose user is known. `auth_token` is there when a token speaks for them."""

    user: User
    auth_token: ApiToken


def user_of(request: Request) -> User:
    """Who asks over REST."""
    return cast(User, request.user)
