"""Who may see what happened to an object: decided by the table of rights, which is no part of audit."""

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied

Check = Callable[[Any, str], None]


def _refuse(_user: Any, object_type: str) -> None:
    raise PermissionDenied(f"Nobody has said who may see what happened to {object_type!r}.")


_check: Check = _refuse


def decide_by(check: Check) -> None:
    """Have `check(user, object_type)` raise PermissionDenied for whoever may not; called in `ready`."""
    global _check
    _check = check


def check(user: Any, object_type: str) -> None:
    """Raises PermissionDenied unless the user may see objects of this type."""
    _check(user, object_type)
