"""Who a session cookie or a token stands for, outside of a request: for sockets, while they last."""

from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import get_user

from core.access import tokens
from core.access.models import User
from core.lib.errors import NotSignedIn


@dataclass(frozen=True)
class Session:
    """A session or token that counts: whose it is, and when it expires unless the person does something."""

    user: User
    ends_at: datetime


def find(session_key: str, authorization: str | None = None) -> Session | None:
    """The live session of an active user, else None. Raises django.db.Error without a database.

    authorization: the header, if there was one. A token in it counts alone, as over REST; what a proxy before
    us asks for does not concern us, as on pages.
    """
    if authorization is not None and authorization.partition(" ")[0].lower() == "bearer":
        return _of_token(authorization)
    if not session_key:
        return None
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(cast(Any, SimpleNamespace(session=store)))  # checks the hash and whether it is active
    if not isinstance(user, User) or not user.is_active or user.must_change_password:
        return None
    row = store.model.objects.filter(session_key=store.session_key).first()
    return Session(user, row.expire_date) if row is not None else None


def _of_token(authorization: str) -> Session | None:
    try:
        user, token = tokens.bearer(authorization)
    except NotSignedIn:
        return None
    return Session(user, token.expires_at)
