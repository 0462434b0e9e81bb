"""How DRF learns who is asking: the middleware has decided already."""

from typing import Any

from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request


class ConsoleAuthentication(SessionAuthentication):
    """The user that the middleware set: a token's owner as is, a session's only with a CSRF token."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """(user, token), the token None in a session; None for nobody."""
        token = getattr(request._request, "auth_token", None)
        if token is not None:
            return request._request.user, token
        return super().authenticate(request)

    def authenticate_header(self, request: Request) -> str:
        """Makes DRF answer 401 instead of 403 to nobody."""
        return "Bearer"
