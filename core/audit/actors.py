"""Whose name stands in the trail."""

from typing import Final

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser

Actor = AbstractBaseUser | AnonymousUser | None  # None is the console itself

CONSOLE_ITSELF: Final = "system"
NOBODY: Final = "nobody"


def actor_name(by: Actor) -> str:
    """A user's name, or one that no user can have."""
    return CONSOLE_ITSELF if by is None else by.get_username() or NOBODY
