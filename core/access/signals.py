"""Sign-ins, sign-outs and refused ones go to the audit trail. What was typed as a password never does."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from core.access.models import User
from core.access.words import UNKNOWN_NAME
from core.audit import actions as audit
from core.audit import queries

EVERY = timedelta(minutes=1)


@receiver(user_logged_in)
def note_sign_in(sender: Any, user: User, **_kwargs: Any) -> None:
    """Somebody came in."""
    audit.record("session.sign_in", user, by=user)


@receiver(user_logged_out)
def note_sign_out(sender: Any, user: User | None, **_kwargs: Any) -> None:
    """Somebody left; nobody does when the session had ended already."""
    if user is not None:
        audit.record("session.sign_out", user, by=user)


@receiver(user_login_failed)
def note_failure(sender: Any, credentials: dict, request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """A wrong name or password."""
    if request is not None:
        _record("session.refuse", credentials.get("username"))


def note_limit(username: str) -> None:
    """Too many failures: said once a minute while somebody goes on trying."""
    _record("session.lock", username, is_once_a_minute=True)


def _record(action: str, username: str | None, *, is_once_a_minute: bool = False) -> None:
    user = User.objects.filter(username=username).first() if username else None
    nobody = AnonymousUser()
    since = timezone.now() - EVERY
    if user is None or is_once_a_minute:
        object_id = str(user.pk) if user else UNKNOWN_NAME
        if queries.has_entry(action, object_id, by=nobody, since=since):
            return
    audit.record(action, user or UNKNOWN_NAME, by=nobody)
