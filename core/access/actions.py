"""Changing users, their roles and passwords. Each change is audited with what was before and after."""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, ProtectedError
from django.utils.translation import gettext as _

from core.access import limits, policy, tokens
from core.access.models import FailedSignIn, User
from core.access.passwords import one_time_password
from core.access.words import UNKNOWN_NAME
from core.audit import actions as audit
from core.audit.actors import CONSOLE_ITSELF, NOBODY
from core.lib import live
from core.lib.errors import Conflict, InvalidRequest, NotFound


@transaction.atomic
def create_user(username: str, *, roles: Iterable[str], email: str = "", by: User | None) -> tuple[User, str]:
    """A new person and their one-time password. `by` is None for the command line, which may do all.

    Raises InvalidRequest for a name that is taken or unusable, an unknown role, or a malformed address.
    """
    _check_gives_access(by)
    groups = _groups(roles)
    user = User(username=User.normalize_username(username), email=email, must_change_password=True)
    password = one_time_password()
    user.set_password(password)
    _check_name(user)
    user.save()
    user.groups.set(groups)
    after = {"username": user.username, "email": email, "roles": user.role_names}
    audit.record("user.create", user, by=by, after=after)
    return user, password


@transaction.atomic
def edit_user(user: User, *, roles: Iterable[str] | None = None, email: str | None = None, by: User) -> None:
    """Give the user exactly these roles and this address; None leaves what is there.

    Raises InvalidRequest for an unknown role, Conflict for the last administrator.
    """
    _check_admin(by)
    _check_person(user)
    before = {"roles": user.role_names, "email": user.email}
    if roles is not None:
        _check_gives_access(by)
        groups = _groups(roles)
        if policy.ADMIN not in {group.name for group in groups}:
            _keep_an_admin(without=user)
        user.groups.set(groups)
        user.forget_roles()
    if email is not None:
        user.email = email
        user.save(update_fields=["email"])
    after = {"roles": user.role_names, "email": user.email}
    if before != after:
        audit.record("user.edit", user, by=by, before=before, after=after)
        _announce(user)


@transaction.atomic
def change_user(user: User, *, is_active: bool | None = None, by: User, **values: Any) -> None:
    """Several changes, all or none: `values` as `edit_user` takes them, and whether the account is active.

    Nothing happens to an account that is so already. Raises what the single changes raise.
    """
    edit_user(user, by=by, **values)
    if is_active not in {None, user.is_active}:
        (activate_user if is_active else deactivate_user)(user, by=by)


def prefer(user: User, *, language: str, time_zone: str) -> None:
    """Keep how pages speak to this person; empty is as the browser asks. Nobody audits that."""
    user.language, user.time_zone = language, time_zone
    user.save(update_fields=["language", "time_zone"])


@transaction.atomic
def deactivate_user(user: User, *, by: User) -> None:
    """End the user's sessions and tokens now. Raises Conflict when no administrator would be left."""
    _check_gives_access(by)
    _check_person(user)
    _keep_an_admin(without=user)
    _set_active(user, False, "user.deactivate", by)


@transaction.atomic
def activate_user(user: User, *, by: User) -> None:
    """Let the user sign in again. Sessions and tokens from before the deactivation have ended for good."""
    _check_gives_access(by)
    _check_person(user)
    _set_active(user, True, "user.activate", by)


@transaction.atomic
def reset_password(user: User, *, by: User | None) -> str:
    """A new one-time password; the old one, every session, token and limit on signing in end now."""
    _check_gives_access(by)
    _check_person(user)
    password = one_time_password()
    user.set_password(password)
    user.must_change_password = True
    user.save(update_fields=["password", "must_change_password"])
    audit.record("user.reset_password", user, by=by)
    _end_all(user, by)
    limits.forget(key=limits.name_key(user.username))
    return password


@transaction.atomic
def change_own_password(user: User, password: str) -> None:
    """The person's own choice, checked by the form; their other sessions end."""
    user.set_password(password)
    user.must_change_password = False
    user.save(update_fields=["password", "must_change_password"])
    audit.record("user.change_password", user, by=user)
    live.recheck(user.pk)


@transaction.atomic
def remove_demo() -> tuple[int, list[str]]:
    """Delete the demonstration's users with their tokens; how many, and the names of those who had to stay.

    One whom a row that stays still names is deactivated instead.
    """
    kept = []
    users = list(User.objects.select_for_update().filter(is_demo=True))
    for user in users:
        before = {"username": user.username, "roles": user.role_names, "is_demo": True}
        try:
            with transaction.atomic():
                audit.record("user.remove", user, by=None, before=before)
                user.tokens.all().delete()
                user.delete()
        except ProtectedError:
            kept.append(user.username)
            if user.is_active:
                _set_active(user, False, "user.deactivate", None)
    tokens.announce()
    return len(users) - len(kept), kept


@transaction.atomic
def lift_limit(*, name: str = "", key: str = "", address: str = "", by: User | None) -> None:
    """Let a name, given as it is or by its key, or an address try to sign in again at once.

    Raises NotFound when nothing of that kind has to wait or nearly does.
    """
    _check_admin(by)
    key = limits.name_key(name) if name else key
    known = FailedSignIn.objects.filter(name_key=key, user__isnull=False).select_related("user").first()
    if not limits.forget(key=key, place=address):
        raise NotFound(_("Nothing has to wait there any more."))
    lifted = known.user if known and known.user else address or UNKNOWN_NAME
    audit.record("limit.lift", lifted, by=by, after={"of": "address" if address else "name"})


def _set_active(user: User, is_active: bool, action: str, by: User | None) -> None:
    before = {"is_active": user.is_active}
    user.is_active = is_active
    user.save(update_fields=["is_active"])
    audit.record(action, user, by=by, before=before, after={"is_active": is_active})
    if is_active:
        _announce(user)
    else:
        _end_all(user, by)


def _end_all(user: User, by: User | None) -> None:
    """Every session and token of the user ends, and none lives again, whatever becomes of the account."""
    User.objects.filter(pk=user.pk).update(session_round=F("session_round") + 1)
    user.refresh_from_db(fields=["session_round"])
    tokens.revoke_all(user, by=by)
    _announce(user)


def _announce(user: User) -> None:
    """Whoever keeps tokens or rights of the user in memory looks again: serving processes, live sockets."""
    tokens.announce()
    live.recheck(user.pk)


def _check_admin(by: User | None) -> None:
    if by is not None:
        policy.check(by, "admin")


def _check_gives_access(by: User | None) -> None:
    """Whoever signs in can make tokens: a token that may make none lets nobody in, and shuts nobody out."""
    _check_admin(by)
    if by is not None:
        policy.check(by, "tokens")


def _check_person(user: User) -> None:
    if user.is_system:
        message = _("%(name)s is a pipeline's account: the console manages it itself.")
        raise Conflict(message % {"name": user.username})


def _groups(roles: Iterable[str]) -> list[Group]:
    wanted = set(roles)
    unknown = sorted(wanted - set(policy.ROLES))
    if unknown:
        message = _("There is no role “%(role)s”. The roles are: %(roles)s.")
        text = message % {"role": unknown[0], "roles": ", ".join(policy.ROLES)}
        raise InvalidRequest(text, errors=[{"field": "roles", "message": text}])
    return list(Group.objects.filter(name__in=wanted))


def _check_name(user: User) -> None:
    """Names differ by more than case, and none looks like the console itself in the audit trail.

    One is made after the other: who comes second waits at the row that guards the administrators, too.
    """
    Group.objects.select_for_update().filter(name=policy.ADMIN).first()
    taken = User.objects.filter(username__iexact=user.username).exists()
    if taken or user.username.lower() in {CONSOLE_ITSELF, NOBODY}:
        text = _("The name “%(name)s” is taken. Choose another.") % {"name": user.username}
        raise InvalidRequest(text, errors=[{"field": "username", "message": text}])
    if user.username in {".", ".."}:  # a client takes them out of an address before it is sent
        text = _("The name “%(name)s” cannot stand in an address. Choose another.") % {"name": user.username}
        raise InvalidRequest(text, errors=[{"field": "username", "message": text}])
    try:
        user.full_clean(validate_unique=False)
    except ValidationError as error:
        errors = _field_errors(error)
        raise InvalidRequest(errors[0]["message"], errors=errors) from error


def _field_errors(error: ValidationError) -> list[dict[str, Any]]:
    return [
        {"field": field, "message": message}
        for field, messages in error.message_dict.items()
        for message in messages
    ]


def _keep_an_admin(*, without: User) -> None:
    """Two administrators who remove each other at once wait for one another at the locked row."""
    admins = Group.objects.select_for_update().get(name=policy.ADMIN)
    people = User.objects.filter(groups=admins, is_active=True, is_system=False)
    if people.exists() and not people.exclude(pk=without.pk).exists():
        raise Conflict(
            _(
                "%(name)s is the last active administrator. Make somebody else an administrator first: "
                "without one nobody could manage this console."
            )
            % {"name": without.username}
        )
