"""People with roles and tokens, made straight in the database."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from core.access import policy, tokens
from core.access.models import ApiToken, User

PASSWORD = "correct horse battery"


def make_user(name: str = "ana", *roles: str, **values: Any) -> User:
    """A person with these roles and the password `PASSWORD`."""
    user = User.objects.create_user(name, password=PASSWORD, **values)
    # Tests that commit leave empty tables behind, without the roles that a migration made.
    user.groups.set(Group.objects.get_or_create(name=role)[0] for role in roles)
    return user


def make_admin(name: str = "root", **values: Any) -> User:
    return make_user(name, policy.ADMIN, **values)


def make_token(user: User, *scopes: str, days: float = 90, **values: Any) -> tuple[ApiToken, str]:
    """A token and its key; without scopes it has all of its owner's, `tokens` too."""
    key = tokens.new_key()
    token = ApiToken.objects.create(
        user=user,
        created_by=user,
        name=values.pop("name", "script"),
        key_sha256=tokens.key_sha256(key),
        key_hint=key[:8],
        scopes=sorted(scopes or policy.scopes_of(user)),
        expires_at=timezone.now() + timedelta(days=days),
        **values,
    )
    return token, key


def signed_in(user: User, **options: Any) -> Client:
    """A browser in which `user` has signed in."""
    client = Client(**options)
    client.force_login(user)
    return client


def bearer(key: str) -> dict[str, dict[str, str]]:
    """Keyword for a test client's call with a token: `client.get(url, **bearer(key))`."""
    return {"headers": {"authorization": f"Bearer {key}"}}
