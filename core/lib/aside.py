"""One item's fault is that item's alone: what does not fit is set aside, and the rest goes on.

DAGS = Loop("pipelines.dags", _("Pipelines"), thing="pipeline")    # an app's loops.py; Django loads it

DAGS.save(found, save_dags, key=attrgetter("dag_id"))   # rows: all in one transaction, else in halves
VERSIONS.each(found, save_version, key=name_of)         # acts that are their own: one after the other
with STREAMS.item(stream.name):                         # a single item that is no part of a list
    …

Each takes any exception of an item for the item's own, but for those that say that the database, Redis or
a service is away: these end the round as ever. What is set aside is tried again at once when it changes, and
rarely while it does not, in case our own state was the cause, so many at most in one round; its row goes when
it fits.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, Final, TypeVar

import structlog
from django.db import Error, IntegrityError, transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import MD5
from django.utils import timezone
from django.utils.functional import Promise

from core.lib.aside_round import (
    LONGEST_ABOUT,
    LONGEST_REASON,
    Round,
    Unread,
    Whole,
    caught,
    clean,
    digest,
    in_words,
    key_of,
    safely,
    savepoint,
)
from core.lib.aside_round import is_ours as is_ours  # for what apps catch themselves
from core.lib.errors import ConsoleError, Unauthorized, Unavailable
from core.lib.models import SetAside
from core.lib.pieces import pieces

log = structlog.get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")

# Rows of one loop, so that junk cannot fill the disk. What is beyond them is counted in one more, and tried
# in each round: of it nobody knows when it was tried.
MOST_KEPT: Final = 10_000
MOST_AT_ONCE: Final = 10_000  # items in one transaction, unless a loop says otherwise
LOOKED_AT: Final = 200  # items that are held while one after the other is acted on
FIRST_RETRY: Final = timedelta(seconds=10)
LONGEST_RETRY: Final = timedelta(hours=1)
LONGEST_RETRY_AT_A_SERVICE: Final = timedelta(minutes=5)
FORGOTTEN_AFTER: Final = timedelta(days=1)

LOOPS: "dict[str, Loop]" = {}


def read(items: Iterable[Any], meaning: Callable[[Any], T], *, key: Callable[[Any], Any]) -> list[T | Unread]:
    """What each raw item means; an `Unread` in the place of one that means nothing. For gateways."""
    found: list[T | Unread] = []
    for item in items:
        with caught() as met:
            found.append(meaning(item))
        if met.error is not None:
            name = safely(key, item) or f"unnamed {digest(item)[:12]}"
            found.append(Unread(key_of(name), in_words(met.error), fingerprint=digest(item)))
    return found


def name_in(item: dict[str, Any], key: str) -> str:
    """What the item is called: text that a row can hold, and some of it. Raises KeyError, ValueError."""
    name = item[key]
    if not isinstance(name, str) or not name:
        raise ValueError(f"{key} is {name!r:.100}, and no name")
    if clean(name, len(name)) != name:  # loops also look for names outside of what they do with an item
        raise ValueError(f"{key} is {name!r:.100}: no text, but NUL or half a character in it")
    return name


def readable(items: Iterable[T | Unread]) -> list[T]:
    """Those that could be read."""
    return [item for item in items if not isinstance(item, Unread)]


class Loop:
    """A loop over items that others produce. `name` is <app>.<items>, `label` its words.

    thing: what `about` names (`pipeline`, `model`, `stream`, …): that thing's page shows the rows about it.
    item: what a key names, where that has a page too.
    longest_retry: how long an item that stays as it is waits at most for its next try.
    """

    def __init__(
        self,
        name: str,
        label: str | Promise,
        *,
        thing: str = "",
        item: str = "",
        longest_retry: timedelta = LONGEST_RETRY,
    ) -> None:
        self.name, self.label, self.thing, self.item_kind = name, label, thing, item
        self.longest_retry = longest_retry
        LOOPS[name] = self

    def save(
        self,
        items: Iterable[T | Unread],
        save: Callable[[Sequence[T]], Iterable[R] | None],
        *,
        key: Callable[[T], Any],
        about: Callable[[T], Any] | None = None,
        is_all: Whole = False,
        at_once: int = MOST_AT_ONCE,
    ) -> list[R]:
        """Write items as rows: `save` with so many in one transaction; where it fails each half, down to one.

        `save` may therefore see an item several times, each time but the last undone: it changes nothing but
        rows. Returns what it returned, of those that fit. is_all: the items are all there are, so rows of
        others go; or of which rows that is true. Of the items no more than `at_once` are held.
        """
        round_ = Round(self, key, about)
        results: list[R] = []
        for piece in pieces(items, at_once):
            results += round_.saved(round_.fresh(piece), save)
        for item in round_.odd():
            results += round_.saved([item], save)
        round_.end(is_all=is_all)
        return results

    def each(
        self,
        items: Iterable[T | Unread],
        act: Callable[[T], R],
        *,
        key: Callable[[T], Any],
        about: Callable[[T], Any] | None = None,
        is_all: Whole = False,
    ) -> list[R]:
        """Call `act` with one item after the other, in no transaction of ours; what it returned."""
        round_ = Round(self, key, about)
        results: list[R] = []

        def act_on(some: Iterable[T]) -> None:
            for item in some:
                with round_.trying(item) as tried, savepoint():
                    result = act(item)
                if tried.error is None:
                    results.append(result)

        for piece in pieces(items, LOOKED_AT):
            act_on(round_.fresh(piece))
        act_on(round_.odd())
        round_.end(is_all=is_all)
        return results

    @contextmanager
    def item(self, key: Any, *, about: str = "") -> Iterator[None]:
        """One item that is no part of a list: what its block raises sets it aside and goes no further."""
        with caught() as met, savepoint():
            yield
        if met.error is None:
            self.fits(key)
        else:
            self.set_aside(key, met.error, about=about)

    def set_aside(
        self,
        key: Any,
        why: Exception | str,
        *,
        about: str = "",
        fingerprint: str = "",
        n_beyond: int = 0,
    ) -> bool:
        """Note that this item does not fit, and why, in words or as the exception that it met.

        False for one beyond the bound, of which no row tells: it is counted beside the `n_beyond` that were
        met before it in the same round, and not at each round anew.
        """
        name, now = key_of(key), timezone.now()
        row = self._of_keys(name).first()
        if row is None and self.rows().count() >= MOST_KEPT:
            name, row = "", self._of_keys("").first()
        row = row or SetAside(loop=self.name, key=name, count=0, first_at=now)
        reason = (why if isinstance(why, str) else in_words(why)) if name else ""
        if row.pk is None or row.reason != reason:
            told = None if isinstance(why, str | Error | ConsoleError) else why  # a bug of ours, perhaps
            log.warning("item.set_aside", loop=self.name, key=name[:100], reason=reason, exc_info=told)
        row.reason, row.about = clean(reason, LONGEST_REASON), clean(about, LONGEST_ABOUT)
        row.fingerprint = fingerprint
        wait = min(FIRST_RETRY * 4 ** min(row.count, 8), self._longest_wait(why))
        row.count = row.count + 1 if name else max(row.count, n_beyond + 1)
        row.last_at, row.next_try_at = now, now + wait
        with suppress(IntegrityError), transaction.atomic():  # another process noted the same a moment ago
            row.save()
        return bool(name)

    def _longest_wait(self, why: Exception | str) -> timedelta:
        is_of_a_service = isinstance(why, Unavailable | Unauthorized)
        return min(self.longest_retry, LONGEST_RETRY_AT_A_SERVICE) if is_of_a_service else self.longest_retry

    def fits(self, *keys: Any) -> None:
        """Note that these fit, or that nobody has them any more: their rows go."""
        n_gone, _of = self._of_keys(*map(key_of, keys)).delete()
        if n_gone:
            self._of_keys("").delete()  # there is room again
            log.info("item.fits", loop=self.name, n_items=n_gone)

    def due(self, most: int = 50) -> list[str]:
        """Keys whose next try has come: of items that the service does not send again by itself."""
        rows = self.rows().filter(next_try_at__lte=timezone.now()).exclude(key="")
        return list(rows.order_by("next_try_at").values_list("key", flat=True)[:most])

    def waiting(self) -> list[str]:
        """Keys whose next try is still to come."""
        rows = self.rows().filter(next_try_at__gt=timezone.now()).exclude(key="")
        return list(rows.values_list("key", flat=True))

    def _of_keys(self, *names: str) -> QuerySet[SetAside]:
        """By hash, which has the index."""
        hashes = [hashlib.md5(name.encode(), usedforsecurity=False).hexdigest() for name in names]
        return self.rows().alias(hash=MD5("key")).filter(hash__in=hashes)

    def rows(self) -> QuerySet[SetAside]:
        """What it has set aside."""
        return SetAside.objects.filter(loop=self.name)


def of_thing(thing: str, name: str) -> list[SetAside]:
    """What is set aside about one thing, whatever the loop, newest first."""
    about = [loop.name for loop in LOOPS.values() if loop.thing == thing]
    itself = [loop.name for loop in LOOPS.values() if loop.item_kind == thing]
    is_about = Q(loop__in=about, about=clean(str(name), LONGEST_ABOUT))
    is_it = Q(loop__in=itself, key=key_of(name))
    return list(SetAside.objects.filter(is_about | is_it).order_by("-last_at")[:5])


def label_of(loop_name: str) -> str | Promise:
    """Its words; its name where no app of this release has the loop any more."""
    loop = LOOPS.get(loop_name)
    return loop.label if loop else loop_name


def rows_of(loop_name: str = "") -> QuerySet[SetAside]:
    """What one loop, or every loop, has set aside; the latest try first."""
    rows = SetAside.objects.order_by("-last_at", "-pk")
    return rows.filter(loop=loop_name) if loop_name else rows


def numbers() -> dict[str, int]:
    """How many items each loop has set aside, with the most that a round met beyond the bound."""
    kept, beyond = Count("pk", filter=~Q(key="")), Sum("count", filter=Q(key=""), default=0)
    found = SetAside.objects.order_by().values("loop").annotate(kept=kept, beyond=beyond)
    return {**dict.fromkeys(LOOPS, 0), **{row["loop"]: row["kept"] + row["beyond"] for row in found}}


def forget_untried() -> None:
    """Rows that nobody has tried for a day go: the service does not send them any more."""
    SetAside.objects.filter(last_at__lt=timezone.now() - FORGOTTEN_AFTER).delete()
