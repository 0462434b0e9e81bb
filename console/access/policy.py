"""Who may do what: the one table of roles and scopes, and the one table of routes and the scope each needs.

A route that is not in `ROUTES` is refused to everybody. `check` is what actions call.
"""

from typing import TYPE_CHECKING, Final

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from console.access.models import User

VIEWER, PREDICTOR, ENGINEER, SCIENTIST, APPROVER, ADMIN = ROLES = (
    "viewer",
    "predictor",
    "engineer",
    "scientist",
    "approver",
    "admin",
)

# scope: the roles that hold it. A scope exists once something needs it.
SCOPES: Final[dict[str, frozenset[str]]] = {
    "see": frozenset({VIEWER, ENGINEER, SCIENTIST, APPROVER, ADMIN}),
    "predict": frozenset({PREDICTOR, ENGINEER, SCIENTIST, APPROVER, ADMIN}),
    "predictions.see_all": frozenset({ENGINEER, SCIENTIST, ADMIN}),
    "pipelines.run": frozenset({ENGINEER, SCIENTIST, ADMIN}),
    "models.gate": frozenset({SCIENTIST, ADMIN}),
    "models.request": frozenset({SCIENTIST, ADMIN}),
    "models.decide": frozenset({APPROVER, ADMIN}),
    "admin": frozenset({ADMIN}),
}

PUBLIC: Final = "public"
SIGNED_IN: Final = "signed in"

# view name: the scope it needs, or a scope for each method. GET stands for HEAD and OPTIONS too.
ROUTES: dict[str, str | dict[str, str]] = {
    # console
    "console:overview": SIGNED_IN,
    # access
    # audit
    # pipelines
    # models_registry
    # predictions
}

# topic, or the part before its first colon: the scope that a subscription needs.
LIVE_TOPICS: Final[dict[str, str]] = {
    "pipelines": "see",
    "runs": "see",
    "run": "see",
    "log": "see",
    "models": "see",
    "model": "see",
    "promotions": "see",
    "predictions": "see",
    "health": "see",
}


class Denied(PermissionDenied):
    """The user may not; `message` says which right is missing."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def scopes_of(user: "User | AnonymousUser") -> frozenset[str]:
    """All scopes the user has now: those of their roles, less what their token leaves out."""
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    if user.is_system:
        return user.token_scopes or frozenset()
    held = frozenset(scope for scope, roles in SCOPES.items() if not roles.isdisjoint(user.role_names))
    return held if user.token_scopes is None else held & user.token_scopes


def allows(user: "User | AnonymousUser", scope: str) -> bool:
    """Whether the user may do what `scope` stands for."""
    return scope in scopes_of(user)


def check(user: "User | AnonymousUser", scope: str, what: object = "") -> None:
    """Raises Denied, with the missing right in words, unless the user holds `scope`."""
    if allows(user, scope):
        return
    roles = ", ".join(role for role in ROLES if role in SCOPES[scope])
    if getattr(user, "token_scopes", None) is not None:
        raise Denied(_("This token lacks the scope “%(scope)s”.") % {"scope": scope})
    subject = f" ({what})" if what else ""
    raise Denied(
        _(
            "Your roles do not include “%(scope)s”%(subject)s. These roles do: %(roles)s. An administrator can add one."
        )
        % {"scope": scope, "subject": subject, "roles": roles}
    )


def needed(view_name: str, method: str) -> str | None:
    """What the route needs for the method; None when the table has no such route or method."""
    rule = ROUTES.get(view_name)
    if isinstance(rule, dict):
        return rule.get("GET" if method in {"HEAD", "OPTIONS"} else method)
    return rule
