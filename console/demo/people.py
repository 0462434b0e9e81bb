"""The demonstration's users and their tokens, which live as long as one walk."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from console.demo.errors import CannotBegin
from console.demo.store import patiently
from core.access import policy, tokens
from core.access.models import User
from core.audit import actions as audit
from core.lib import demo

ROLES: Final = {
    demo.ENGINEER: policy.ENGINEER,
    demo.SCIENTIST: policy.SCIENTIST,
    demo.APPROVER: policy.APPROVER,
}
TOKEN_LIVES: Final = timedelta(hours=1)
DEMONSTRATION: Final = "demonstration"


@contextmanager
def with_tokens(purpose: str = DEMONSTRATION, *, live: timedelta = TOKEN_LIVES) -> Iterator[dict[str, str]]:
    """A key for each user, by name, revoked at the end. Raises CannotBegin when a name is somebody else's.

    purpose: those of another purpose stay, so that two may be at work at once.
    """
    keys = patiently(lambda: _issue(purpose, live))
    try:
        yield keys
    finally:
        patiently(lambda: revoke(purpose))


@transaction.atomic
def _issue(purpose: str, live: timedelta) -> dict[str, str]:
    users = [_ensure(name, role) for name, role in ROLES.items()]
    revoke(purpose)
    return {user.username: _key(user, purpose, live) for user in users}


def _ensure(name: str, role: str) -> User:
    user = User.objects.filter(username__iexact=name).first()
    if user is None:
        return _create(name, role)
    if not user.is_demo:
        raise CannotBegin(
            f"There is a user “{user.username}” who is not the demonstration's. "
            "It needs this name for a user of its own: nobody can be renamed, so it cannot run here."
        )
    if not user.is_active or user.role_names != [role]:
        raise CannotBegin(
            f"The demonstration's user “{name}” was changed: active, with the role {role} alone, is what it "
            f"needs. Correct that under System, Users, or take everything away first: manage.py remove_demo"
        )
    return user


def _create(name: str, role: str) -> User:
    """Without a password: nobody signs in as this user."""
    user = User(username=name, is_demo=True)
    user.set_unusable_password()
    user.save()
    user.groups.set(Group.objects.filter(name=role))
    audit.record("user.create", user, by=None, after={"username": name, "roles": [role], "is_demo": True})
    return user


def _key(user: User, purpose: str, live: timedelta) -> str:
    expires_at = timezone.now() + live
    scopes = policy.token_scopes_of(user)
    _token, key = tokens.issue(user, name=purpose, scopes=scopes, expires_at=expires_at, by=None)
    return key


def revoke(purpose: str = "") -> None:
    """End their tokens of this purpose, or all; also those that one which was killed left behind."""
    for user in User.objects.filter(username__in=ROLES, is_demo=True):
        live = user.tokens.filter(revoked_at=None, expires_at__gt=timezone.now())
        for token in live.filter(name=purpose) if purpose else live:
            tokens.revoke(token, by=None)
