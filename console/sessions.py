"""Who a session cookie stands for, outside of a request: for sockets, at the start and while they last."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import get_user

from core.access.models import User


def user_of(session_key: str) -> User | None:
    """The active user of a live session, else None. Raises django.db.Error without a database."""
    if not session_key:
        return None
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(
        cast(Any, SimpleNamespace(session=store))
    )  # checks the password's hash and whether it is active
    return user if isinstance(user, User) and user.is_active and not user.must_change_password else None
