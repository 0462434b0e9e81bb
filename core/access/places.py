"""From where somebody tries to sign in: an address, a browser that is known, or their own account's page."""

import ipaddress
import secrets
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core import signing
from django.db.models import Q
from django.http import HttpRequest, HttpResponse

from core.access.models import User
from core.lib import context

ACCOUNT: Final = "account"  # guesses at the current password, by whoever is signed in
BROWSER: Final = "browser:"
IS_ADDRESS: Final = ~Q(place=ACCOUNT) & ~Q(place__startswith=BROWSER)
COOKIE, COOKIE_LIVES = "atalaya_known", timedelta(days=180)
_signer = signing.TimestampSigner(salt="core.access.places")


def address() -> str:
    """Where the request comes from; for IPv6 the subscriber's network, who has addresses by the million."""
    try:
        found = ipaddress.ip_address(context.remote_addr.get())
    except ValueError:
        return ""
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))


def known_browser(request: HttpRequest, user: User | None) -> str:
    """The place that stands for a browser in which the user has signed in since all their sessions ended."""
    if user is None:
        return ""
    try:
        known = _signer.unsign(request.COOKIES.get(COOKIE, ""), max_age=COOKIE_LIVES)
    except signing.BadSignature:
        return ""
    owner, _colon, browser = known.rpartition(":")
    return f"{BROWSER}{browser}" if owner == f"{user.pk}:{user.session_round}" else ""


def remember_browser(response: HttpResponse, user: User) -> None:
    """The user has signed in here: from now on this browser has a count of its own."""
    response.set_cookie(
        COOKIE,
        _signer.sign(f"{user.pk}:{user.session_round}:{secrets.token_urlsafe(12)}"),
        max_age=COOKIE_LIVES,
        path="/sign-in",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
