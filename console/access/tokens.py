"""API tokens: made, hashed, recognised. A key is shown once; only its SHA-256 is kept."""

import hashlib
import secrets
from datetime import timedelta

from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from console.access.models import ApiToken
from console.lib.errors import NotSignedIn

PREFIX = "ata_"
LAST_USED_EVERY = timedelta(minutes=1)


def new_key() -> str:
    """A fresh key with 256 bits of chance, to be shown once."""
    return PREFIX + secrets.token_urlsafe(32)


def key_sha256(key: str) -> str:
    """What is stored instead of the key."""
    return hashlib.sha256(key.encode()).hexdigest()


def apply(request: HttpRequest) -> None:
    """Make the request act for its token's owner. Raises NotSignedIn; without a header nothing changes."""
    header = request.headers.get("Authorization")
    if header is None:
        return
    scheme, _space, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise NotSignedIn(_("Write the header as `Authorization: Bearer <token>`."))
    token = _live_token(key.strip())
    user = token.user
    user.token_scopes = frozenset(token.scopes)
    user.token_name = token.name
    request.user = user
    request.auth_token = token  # type: ignore[attr-defined]


def _live_token(key: str) -> ApiToken:
    token = ApiToken.objects.select_related("user").filter(key_sha256=key_sha256(key)).first()
    if token is None or not token.user.is_active:
        raise NotSignedIn(
            _("This token is not known here. Check that it was copied whole, or make a new one.")
        )
    if token.revoked_at is not None:
        raise NotSignedIn(_("This token was revoked. Make a new one under your name, API tokens."))
    if not token.is_live:
        raise NotSignedIn(_("This token has expired. Make a new one under your name, API tokens."))
    now = timezone.now()
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token
