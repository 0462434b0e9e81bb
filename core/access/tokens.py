"""API tokens: made, hashed, recognised, revoked. A key is shown once; only its SHA-256 is kept."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog
from django.contrib.auth.models import Group
from django.contrib.postgres.expressions import ArraySubquery
from django.db import transaction
from django.db.models import OuterRef
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy, queries
from core.access.models import ApiToken, User
from core.audit import actions as audit
from core.lib import live
from core.lib import redis as console_redis
from core.lib.errors import Conflict, InvalidRequest, NotSignedIn

log = structlog.get_logger(__name__)

PREFIX = "ata_"
HINT_LENGTH = 8
LONGEST_KEY = 200
DEFAULT_DAYS, LONGEST_DAYS = 90, 365
MOST_LIVE_TOKENS = 50
LAST_USED_EVERY = timedelta(minutes=1)
# Whoever keeps tokens in memory listens here and reads `queries.live_tokens` again.
CHANNEL = "tokens"


def new_key() -> str:
    """A fresh key with 256 bits of chance, to be shown once."""
    return PREFIX + secrets.token_urlsafe(32)


def key_sha256(key: str) -> str:
    """What is stored instead of the key."""
    return hashlib.sha256(key.encode()).hexdigest()


@transaction.atomic
def create(
    user: User, *, name: str, scopes: Iterable[str], days: int = DEFAULT_DAYS, by: User | None
) -> tuple[ApiToken, str]:
    """A token of `user` and its key. `by` is the user, perhaps through another token; None: the command line.

    Raises InvalidRequest unless the scopes are some that the maker has now and the days are 1 to 365, and
    Conflict when the user has too many tokens already. A token made through another may no more than that
    one, and ends with it.
    """
    wanted = frozenset(scopes)
    if user.is_system:
        raise Conflict(_("The console itself makes and renews the tokens of pipelines."))
    _check_wish(user if by is None else by, name, wanted, days)
    if queries.n_live_tokens(user) >= MOST_LIVE_TOKENS:
        raise Conflict(_("You have %(n)s live tokens. Revoke one first.") % {"n": MOST_LIVE_TOKENS})
    _hold_parent(by)
    return issue(user, name=name, scopes=wanted, expires_at=_end(days, by), by=by)


def _hold_parent(by: User | None) -> None:
    """The token that makes another lives, and cannot be revoked until both are seen. Raises NotSignedIn."""
    parent_id = getattr(by, "token_id", None)
    if parent_id is None:
        return
    if not ApiToken.objects.select_for_update().filter(pk=parent_id, revoked_at=None).exists():
        raise NotSignedIn(_("This token was revoked. Make a new one under your name, API tokens."))


def issue(
    user: User, *, name: str, scopes: frozenset[str], expires_at: datetime, by: User | None
) -> tuple[ApiToken, str]:
    """Store a token that somebody has checked already, record it, and say that there is one more."""
    key = new_key()
    token = ApiToken.objects.create(
        user=user,
        name=name,
        key_sha256=key_sha256(key),
        key_hint=key[:HINT_LENGTH],
        scopes=sorted(scopes),
        created_by=by or user,
        parent_id=getattr(by, "token_id", None),
        expires_at=expires_at,
    )
    after = {"name": name, "owner": user.username, "scopes": token.scopes, "expires_at": expires_at}
    audit.record("token.create", token, by=by, after=after)
    announce()
    return token, key


def _end(days: int, by: User | None) -> datetime:
    end = timezone.now() + timedelta(days=days)
    maker_ends_at = getattr(by, "token_expires_at", None)
    return end if maker_ends_at is None else min(end, maker_ends_at)


def _check_wish(maker: User, name: str, wanted: frozenset[str], days: int) -> None:
    errors = []
    if not name.strip():
        errors.append({"field": "name", "message": _("Give the token a name that says where it is used.")})
    if not 1 <= days <= LONGEST_DAYS:
        message = _("A token lives 1 to %(days)s days.") % {"days": LONGEST_DAYS}
        errors.append({"field": "days", "message": message})
    if not wanted:
        errors.append({"field": "scopes", "message": _("Choose at least one scope.")})
    for scope in sorted(wanted - policy.scopes_of(maker)):
        message = _("You do not have the scope “%(scope)s”, so your token cannot.") % {"scope": scope}
        errors.append({"field": "scopes", "message": message})
    if errors:
        raise InvalidRequest(errors[0]["message"], errors=errors)


@transaction.atomic
def revoke(token: ApiToken, *, by: User | None) -> None:
    """Close the token now, and all that were made by it: its owner may, and an administrator.

    Doing it twice changes nothing.
    """
    if by is not None and token.user_id != by.pk:
        policy.check(by, "admin")
    rows = ApiToken.objects.select_for_update(of=("self",)).select_related("user")
    held = rows.get(pk=token.pk)  # who makes a child through it at this moment waits
    _end_now(queries.with_descendants(held), by=by)
    token.refresh_from_db(fields=["revoked_at"])


def revoke_all(user: User, *, by: User | None) -> None:
    """Close every live token of the user; the caller has checked that `by` may."""
    open_ones = user.tokens.select_related("user").filter(revoked_at=None, expires_at__gt=timezone.now())
    _end_now(list(open_ones.select_for_update(of=("self",))), by=by)


def _end_now(ending: list[ApiToken], *, by: User | None) -> None:
    open_ones = [token for token in ending if token.revoked_at is None]
    ApiToken.objects.filter(pk__in=[token.pk for token in open_ones]).update(revoked_at=timezone.now())
    for token in open_ones:
        audit.record("token.revoke", token, by=by, before={"name": token.name, "owner": token.user.username})
    for user_id in {token.user_id for token in open_ones}:
        live.recheck(user_id)
    if open_ones:
        announce()


def announce() -> None:
    """Say, once the transaction is committed, that tokens or their owners' rights changed.

    Best effort: listeners read again by themselves every few seconds.
    """
    transaction.on_commit(_publish)


def _publish() -> None:
    try:
        console_redis.client().publish(CHANNEL, "changed")
    except console_redis.RedisError as error:
        log.warning("tokens.not_announced", error=str(error))


_roles_of_owner = ArraySubquery(Group.objects.filter(user=OuterRef("user_id")).values("name"))


def apply(request: HttpRequest) -> None:
    """Make the request act for its token's owner. Raises NotSignedIn; without a header nothing changes."""
    header = request.headers.get("Authorization")
    if header is not None:
        request.user, request.auth_token = bearer(header)  # type: ignore[attr-defined]


def bearer(header: str) -> tuple[User, ApiToken]:
    """The token of an Authorization header, and its owner, who may as much as it may. Raises NotSignedIn."""
    scheme, _space, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise NotSignedIn(_("Write the header as `Authorization: Bearer <token>`."))
    token = _live_token(key.strip()[:LONGEST_KEY])
    user = token.user
    user.token_scopes = frozenset(token.scopes)
    user.token_name = token.name
    user.token_id = token.pk
    user.token_expires_at = token.expires_at
    return user, token


def _live_token(key: str) -> ApiToken:
    found = ApiToken.objects.select_related("user").annotate(roles=_roles_of_owner)
    token = found.filter(key_sha256=key_sha256(key)).first()
    if token is None or not token.user.is_active:
        raise NotSignedIn(
            _("This token is not known here. Check that it was copied whole, or make a new one.")
        )
    for one in queries.lineage(token):
        if one.revoked_at is not None:
            raise NotSignedIn(_("This token was revoked. Make a new one under your name, API tokens."))
        if not one.is_live:
            raise NotSignedIn(_("This token has expired. Make a new one under your name, API tokens."))
    token.user.know_roles(token.roles)
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def note_used(token_ids: Iterable[int]) -> None:
    """Say that these tokens opened something just now, where no request of Django's saw it."""
    ApiToken.objects.filter(pk__in=token_ids).update(last_used_at=timezone.now())
