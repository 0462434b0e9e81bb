"""Who a session cookie stands for, outside of a request: for sockets, at the start and while they last."""

from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

from django.conf import settings
from django.contrib.auth import get_user

from core.access.models import User


@dataclass(frozen=True)
class Session:
    """A session that counts: whose it is, and when it expires unless the person does something."""

    user: User
    ends_at: datetime


def find(session_key: str) -> Session | None:
    """The live session of an active user, else None. Raises django.db.Error without a database."""
    if not session_key:
        return None
    store: Any = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(cast(Any, SimpleNamespace(session=store)))  # checks the hash and whether it is active
    if not isinstance(user, User) or not user.is_active or user.must_change_password:
        return None
    row = store.model.objects.filter(session_key=store.session_key).first()
    return Session(user, row.expire_date) if row is not None else None
