"""How often somebody may guess a password: waits that grow for a name, a bound on names for an address.

The waits of a name are those of the address that guessed, so that nobody keeps its owner out from elsewhere;
only where many addresses guess at one name does it wait for all, longer with each of them.

Guesses are counted before the password is looked at, so that many at once get no further than one after the
other. A browser in which somebody has signed in before has a count of its own, for their name alone: whoever
guesses elsewhere, or beside them behind the same address, does not keep them out.
"""

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import ClassVar, Final

from django.db import connection, transaction
from django.db.models import Count, F, Max, QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from core.access import places
from core.access.models import FailedSignIn, User
from core.lib.errors import ConsoleError

FREE_GUESSES: Final = 5  # after so many the waits begin
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
FREE_NAMES: Final = 20  # that one address may fail at within the longest wait
REMEMBERED: Final = timedelta(days=1)
MOST_SHOWN: Final = 100


class TooManyAttempts(ConsoleError):
    """Passwords were guessed too often; `retry_after_s` says how long to wait."""

    status: ClassVar[int] = 429
    title = gettext_lazy("Too many attempts")
    retry_after_s: int

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(words(retry_after_s))
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Attempt:
    """One guess that was let through and is counted as wrong until `succeeded` is called."""

    name_key: str
    place: str

    def succeeded(self) -> None:
        """The password was right: what was counted here for the name is forgotten."""
        FailedSignIn.objects.filter(name_key=self.name_key, place=self.place).delete()

    def wait_s(self) -> int:
        """How long whoever was wrong just now has to wait before the next guess."""
        return _seconds(_free_at(self.name_key, self.place))


def sign_in(name: str, request: HttpRequest) -> Attempt:
    """Let a guess at signing in as `name` through, and count it. Raises TooManyAttempts."""
    user = User.objects.filter(username=name).first()
    return _begin(name, user, places.known_browser(request, user) or places.address())


def current_password(user: User) -> Attempt:
    """Let a guess of whoever is signed in at their current password through. Raises TooManyAttempts."""
    return _begin(user.username, user, places.ACCOUNT)


@transaction.atomic
def _begin(name: str, user: User | None, place: str) -> Attempt:
    attempt = Attempt(name_key(name), place)
    _one_by_one(attempt.name_key, place)
    wait_s = attempt.wait_s()
    if wait_s:
        raise TooManyAttempts(wait_s)
    row, is_new = FailedSignIn.objects.get_or_create(
        name_key=attempt.name_key, place=place, defaults={"user": user}
    )
    if not is_new:
        is_recent = row.last_at > timezone.now() - REMEMBERED
        row.n_failures = row.n_failures + 1 if is_recent else 1
        row.last_at = timezone.now()
        row.save(update_fields=["n_failures", "last_at"])
    return attempt


def _one_by_one(*keys: str) -> None:
    """Guesses at one name or from one place wait for one another until each is counted."""
    with connection.cursor() as cursor:
        for key in keys:  # names before places, so that nobody waits in a circle
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"sign-in {key}"])


def _free_at(key: str, place: str) -> datetime | None:
    """When the next guess at this name is let through from this place; None for at once."""
    here = _recent().filter(name_key=key, place=place).first()
    of_place = here.last_at + wait_after(here.n_failures) if here else None
    if place == places.ACCOUNT or place.startswith(places.BROWSER):
        return of_place
    return max(
        (at for at in (of_place, _name_free_at(key), _address_free_at(key, place)) if at), default=None
    )


def _recent() -> QuerySet[FailedSignIn]:
    return FailedSignIn.objects.filter(last_at__gt=timezone.now() - REMEMBERED)


def _name_free_at(key: str) -> datetime | None:
    """When addresses may guess at the name again; each that did counts once, however often it did."""
    told = _recent().filter(places.IS_ADDRESS, name_key=key).aggregate(n=Count("pk"), at=Max("last_at"))
    return told["at"] + wait_after(told["n"]) if told["n"] else None


def wait_after(n_failures: int) -> timedelta:
    """Nothing for the first ones, then each time twice as long."""
    if n_failures < FREE_GUESSES:
        return timedelta()
    return min(FIRST_WAIT * 2 ** min(n_failures - FREE_GUESSES, 16), LONGEST_WAIT)


def _address_free_at(key: str, place: str) -> datetime | None:
    """Another name may fail here once so few are left that did lately; one that failed counts once."""
    lately = FailedSignIn.objects.filter(place=place, last_at__gt=timezone.now() - LONGEST_WAIT)
    others = lately.exclude(name_key=key).order_by("-last_at").values_list("last_at", flat=True)
    oldest_that_counts = others[FREE_NAMES - 1 : FREE_NAMES].first()
    return oldest_that_counts + LONGEST_WAIT if oldest_that_counts else None


def _seconds(free_at: datetime | None) -> int:
    return max(0, ceil((free_at - timezone.now()).total_seconds())) if free_at else 0


def words(wait_s: int) -> str:
    """What to tell whoever has to wait; the same for a name that exists and one that does not."""
    if wait_s > 90:
        minutes = ceil(wait_s / 60)
        wait = ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
    else:
        wait = ngettext("%(n)d second", "%(n)d seconds", wait_s) % {"n": wait_s}
    return _("Too many wrong passwords. Wait %(wait)s and try again; an administrator can lift this.") % {
        "wait": wait
    }


def name_key(name: str) -> str:
    """What is stored for a name: people type passwords into its field."""
    return hashlib.sha256(unicodedata.normalize("NFKC", name).encode()).hexdigest()


# --- what an administrator sees and lifts


def names() -> list[dict]:
    """Names that wait or nearly do, the newest first: user (None for a name that nobody has), n, last_at."""
    found = _recent().values("name_key", username=F("user__username"))
    found = found.annotate(n=Sum("n_failures"), n_places=Count("pk"), at=Max("last_at"))
    rows = list(found.filter(n__gte=FREE_GUESSES).order_by("-at")[:MOST_SHOWN])
    free_at = {row["name_key"]: row["at"] for row in rows}
    of_addresses = _recent().filter(places.IS_ADDRESS, name_key__in=free_at).values("name_key")
    for told in of_addresses.annotate(n=Count("pk"), at=Max("last_at")):
        free_at[told["name_key"]] = told["at"] + wait_after(told["n"])
    for one in _recent().filter(name_key__in=free_at, n_failures__gte=FREE_GUESSES):
        free_at[one.name_key] = max(free_at[one.name_key], one.last_at + wait_after(one.n_failures))
    return [{**row, "free_at": free_at[row["name_key"]]} for row in rows]


def addresses() -> list[dict]:
    """Addresses that have used up their names, the newest first."""
    lately = FailedSignIn.objects.filter(places.IS_ADDRESS, last_at__gt=timezone.now() - LONGEST_WAIT)
    found = lately.values("place").annotate(n=Count("pk"), at=Max("last_at"))
    rows = found.filter(n__gte=FREE_NAMES).order_by("-at")[:MOST_SHOWN]
    return [{**row, "free_at": _address_free_at("", row["place"])} for row in rows]


def forget(*, key: str = "", place: str = "") -> bool:
    """Lift every limit on a name, given by its key, or on an address; whether there was anything."""
    rows = FailedSignIn.objects.filter(name_key=key) if key else FailedSignIn.objects.filter(place=place)
    return rows.delete()[0] > 0


def clear_old() -> None:
    """Remove what counts no more."""
    FailedSignIn.objects.filter(last_at__lte=timezone.now() - REMEMBERED).delete()
