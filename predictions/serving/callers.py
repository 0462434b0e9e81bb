"""Who calls: every live token in memory by the SHA-256 of its key, so that no call waits for the database."""

import math
import time
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from core.lib.errors import NotSignedIn, Unavailable
from predictions.errors import Forbidden

SCOPE = "predict"


class Caller(msgspec.Struct, frozen=True):
    """For whom a prediction is made. expires_at: Unix time, None in a session."""

    user_id: int
    username: str
    token_id: int | None = None
    scopes: frozenset[str] = frozenset()
    expires_at: float | None = None
    is_demo: bool = False


class Grant(msgspec.Struct, frozen=True):
    """One live token: the hash of its key, and whom it stands for."""

    key_sha256: str
    caller: Caller


class Callers:
    """The live tokens as of the last refresh, replaced as a whole: a reader sees one state or the other."""

    def __init__(self, max_stale_s: float) -> None:
        self._max_stale_s = max_stale_s
        self._by_hash: dict[str, Caller] = {}
        self._as_of = -math.inf  # by the monotonic clock: one that is set back keeps no token alive
        self._used: set[int] = set()

    def replace(self, grants: Iterable[Grant], *, age_s: float) -> None:
        """Take over what the database said so long ago."""
        self._by_hash = {grant.key_sha256: grant.caller for grant in grants}
        self._as_of = time.monotonic() - age_s

    @property
    def age_s(self) -> float:
        """Seconds since the database last said which tokens live."""
        return time.monotonic() - self._as_of

    @property
    def is_too_old(self) -> bool:
        return self.age_s > self._max_stale_s

    def authenticate(self, authorization: bytes | None) -> Caller:
        """The caller of an Authorization header. Raises NotSignedIn, Forbidden, Unavailable."""
        if authorization is None:
            raise NotSignedIn(_("Send a token as `Authorization: Bearer …`, or sign in."))
        scheme, _space, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not key:
            raise NotSignedIn(_("Write the header as `Authorization: Bearer <token>`."))
        if self.is_too_old:
            raise Unavailable(
                _("Which tokens are valid could not be looked up for too long. Try again later.")
            )
        caller = self._by_hash.get(sha256(key.strip()).hexdigest())
        if caller is None:
            raise NotSignedIn(
                _("This token is unknown, was revoked or has expired. Make a new one under API tokens.")
            )
        if caller.expires_at is not None and caller.expires_at <= time.time():
            raise NotSignedIn(_("This token has expired. Make a new one under your name, API tokens."))
        if SCOPE not in caller.scopes:
            raise Forbidden(_("This token lacks the scope “%(scope)s”.") % {"scope": SCOPE})
        if caller.token_id is not None:
            self._used.add(caller.token_id)
        return caller

    def take_used(self) -> set[int]:
        """Ids of the tokens that called since the last time somebody asked."""
        used, self._used = self._used, set()
        return used


def of_user(user: Any) -> Caller:
    """A signed-in user, whose right to predict the view has checked."""
    return Caller(user.pk, user.get_username(), scopes=frozenset({SCOPE}), is_demo=user.is_demo)
