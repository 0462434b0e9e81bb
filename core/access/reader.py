"""Whoever reads a page: in which language, and in which time zone its times are written and read."""

import zoneinfo
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone, translation

from core.access.models import User
from core.lib.error_pages import is_api

# The page shell keeps the browser's zone here; what an account says goes before it.
ZONE_COOKIE = "atalaya_zone"


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every zone that this machine knows."""
    return frozenset(zoneinfo.available_timezones())


@lru_cache(maxsize=1)
def zone_choices() -> tuple[str, ...]:
    """Those that are places, which people choose from, and UTC."""
    places = (
        name for name in zone_names() if "/" in name and not name.startswith(("Etc/", "posix/", "right/"))
    )
    return ("UTC", *sorted(places))


def serve(request: HttpRequest) -> None:
    """Let this request's page speak the reader's language and zone. REST follows its headers, in UTC."""
    if is_api(request):
        return
    user = request.user
    if isinstance(user, User) and user.language in dict(settings.LANGUAGES):
        translation.activate(user.language)
        request.LANGUAGE_CODE = user.language
    timezone.activate(zoneinfo.ZoneInfo(_zone_of(request)))


def browser_zone(request: HttpRequest) -> str:
    """The zone that the reader's browser tells; UTC while it tells none that there is."""
    told = request.COOKIES.get(ZONE_COOKIE, "")
    return told if told in zone_names() else settings.TIME_ZONE


def _zone_of(request: HttpRequest) -> str:
    chosen = getattr(request.user, "time_zone", "")
    return chosen if chosen in zone_names() else browser_zone(request)
