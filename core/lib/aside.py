"""One item's fault is that item's alone: what does not fit is set aside, and the rest goes on.

DAGS = Loop("pipelines.dags", _("Pipelines"), thing="pipeline")    # an app's loops.py; Django loads it

DAGS.save(found, save_dags, key=attrgetter("dag_id"))   # rows: all in one transaction, else one by one
VERSIONS.each(found, save_version, key=name_of)         # acts that are their own: one after the other
with STREAMS.item(stream.name):                         # a single item that is no part of a list
    …

Each takes any exception of an item for the item's own, but for those that say that the database, Redis or
a service is away: these end the round as ever. What is set aside is tried again at once when it changes, and
rarely while it does not, in case our own state was the cause; its row goes when it fits.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Generic, TypeVar

import redis
import structlog
from django.db import Error, IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone
from django.utils.functional import Promise
from kombu.exceptions import OperationalError as BrokerAway

from core.lib.errors import ConsoleError, Unauthorized, Unavailable
from core.lib.models import SetAside

log = structlog.get_logger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Whole = bool | Callable[[SetAside], bool]

MOST_KEPT: Final = 500  # rows of one loop; what is beyond them is counted in one more
LONGEST_KEY: Final = 1_000
LONGEST_ABOUT: Final = 300
LONGEST_REASON: Final = 500
FIRST_RETRY: Final = timedelta(seconds=10)
LONGEST_RETRY: Final = timedelta(hours=1)
FORGOTTEN_AFTER: Final = timedelta(days=1)
LONGEST_RETRY_AT_A_SERVICE: Final = timedelta(minutes=5)
# A service that fails this many items one after the other is away: that is the fault of one at most.
AWAY_AFTER: Final = 3

LOOPS: "dict[str, Loop]" = {}


@dataclass(frozen=True)
class Unread:
    """Stands in a list for an item of a service's answer that could not be read: its key, and why."""

    key: str
    reason: str
    about: str = ""
    fingerprint: str = ""


def read(items: Iterable[Any], meaning: Callable[[Any], T], *, key: Callable[[Any], Any]) -> list[T | Unread]:
    """What each raw item means; an `Unread` in the place of one that means nothing. For gateways."""
    found: list[T | Unread] = []
    for item in items:
        with _caught() as caught:
            found.append(meaning(item))
        if caught.error is not None:
            name = _safely(key, item) or f"unnamed {_digest(item)[:12]}"
            found.append(Unread(name, in_words(caught.error), fingerprint=_digest(item)))
    return found


def name_in(item: dict[str, Any], key: str) -> str:
    """What the item is called: text, and some of it. Raises KeyError, ValueError."""
    name = item[key]
    if not isinstance(name, str) or not name:
        raise ValueError(f"{key} is {name!r:.100}, and no name")
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
    ) -> list[R]:
        """Write items as rows: `save` with all in one transaction; where one fails, with each alone.

        `save` may therefore see an item twice, the first time undone. Returns what it returned, of those
        that fit. is_all: the items are all there are, so rows of others go; or of which rows that is true.
        """
        round_ = _Round(self, key, about)
        fresh = round_.fresh(items)
        results: list[R] = []
        if fresh:
            with _caught() as caught, transaction.atomic():
                results += save(fresh) or ()
                _check_references()
            if caught.error is not None:
                results.clear()
                round_.again += fresh
        for item in round_.again:
            with round_.trying(item) as tried, transaction.atomic():
                done = list(save([item]) or ())
                _check_references()
            if tried.error is None:
                results += done
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
        round_ = _Round(self, key, about)
        results: list[R] = []
        for item in [*round_.fresh(items), *round_.again]:
            with round_.trying(item) as tried, _savepoint():
                result = act(item)
            if tried.error is None:
                results.append(result)
        round_.end(is_all=is_all)
        return results

    @contextmanager
    def item(self, key: Any, *, about: str = "") -> Iterator[None]:
        """One item that is no part of a list: what its block raises sets it aside and goes no further."""
        with _caught() as caught, _savepoint():
            yield
        if caught.error is None:
            self.fits(key)
        else:
            self.set_aside(key, caught.error, about=about)

    def set_aside(self, key: Any, why: Exception | str, *, about: str = "", fingerprint: str = "") -> None:
        """Note that this item does not fit, and why, in words or as the exception that it met."""
        name, now = _key(key), timezone.now()
        row = self.rows().filter(key=name).first()
        if row is None and self.rows().count() >= MOST_KEPT:
            name, row = "", self.rows().filter(key="").first()
        row = row or SetAside(loop=self.name, key=name, count=0, first_at=now)
        reason = (why if isinstance(why, str) else in_words(why)) if name else ""
        if row.pk is None or row.reason != reason:
            told = None if isinstance(why, str | Error | ConsoleError) else why  # a bug of ours, perhaps
            log.warning("item.set_aside", loop=self.name, key=name[:100], reason=reason, exc_info=told)
        row.reason, row.about = clean(reason, LONGEST_REASON), clean(about, LONGEST_ABOUT)
        row.fingerprint = fingerprint
        wait = min(FIRST_RETRY * 4 ** min(row.count, 8), self._longest_wait(why))
        row.count, row.last_at, row.next_try_at = row.count + 1, now, now + wait
        with suppress(IntegrityError), transaction.atomic():  # another process noted the same a moment ago
            row.save()

    def _longest_wait(self, why: Exception | str) -> timedelta:
        is_of_a_service = isinstance(why, Unavailable | Unauthorized)
        return min(self.longest_retry, LONGEST_RETRY_AT_A_SERVICE) if is_of_a_service else self.longest_retry

    def fits(self, *keys: Any) -> None:
        """Note that these fit, or that nobody has them any more: their rows go."""
        n_gone, _of = self.rows().filter(key__in=[_key(key) for key in keys]).delete()
        if n_gone:
            self.rows().filter(key="").delete()  # there is room again
            log.info("item.fits", loop=self.name, n_items=n_gone)

    def due(self, most: int = 50) -> list[str]:
        """Keys whose next try has come: of items that the service does not send again by itself."""
        rows = self.rows().filter(next_try_at__lte=timezone.now()).exclude(key="")
        return list(rows.order_by("next_try_at").values_list("key", flat=True)[:most])

    def waiting(self) -> list[str]:
        """Keys whose next try is still to come."""
        rows = self.rows().filter(next_try_at__gt=timezone.now()).exclude(key="")
        return list(rows.values_list("key", flat=True))

    def rows(self) -> QuerySet[SetAside]:
        """What it has set aside."""
        return SetAside.objects.filter(loop=self.name)


def of_thing(thing: str, name: str) -> list[SetAside]:
    """What is set aside about one thing, whatever the loop, newest first."""
    about = [loop.name for loop in LOOPS.values() if loop.thing == thing]
    itself = [loop.name for loop in LOOPS.values() if loop.item_kind == thing]
    is_about = Q(loop__in=about, about=clean(str(name), LONGEST_ABOUT))
    is_it = Q(loop__in=itself, key=_key(name))
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
    """How many items each loop has set aside, those beyond the bound too; zero for a loop without any."""
    kept, beyond = Count("pk", filter=~Q(key="")), Sum("count", filter=Q(key=""), default=0)
    found = SetAside.objects.order_by().values("loop").annotate(kept=kept, beyond=beyond)
    return {**dict.fromkeys(LOOPS, 0), **{row["loop"]: row["kept"] + row["beyond"] for row in found}}


def forget_untried() -> None:
    """Rows that nobody has tried for a day go: the service does not send them any more."""
    SetAside.objects.filter(last_at__lt=timezone.now() - FORGOTTEN_AFTER).delete()


def in_words(error: BaseException) -> str:
    """The error for whoever reads the row. Of a database's words the first line: the rest quotes the item."""
    if isinstance(error, ConsoleError) and error.message:
        return clean(error.message, LONGEST_REASON)
    words = str(error).strip()
    if isinstance(error, Error):
        words = words.partition("\n")[0]
    if isinstance(error, KeyError):
        words = f"{words} is missing"
    return clean(f"{type(error).__name__}: {words}" if words else type(error).__name__, LONGEST_REASON)


# --- one round


@dataclass
class _Round(Generic[T]):
    """One pass of a loop: which of its items were set aside before, and how each did this time."""

    loop: Loop
    key: Callable[[T], Any]
    about: Callable[[T], Any] | None
    again: list[T] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._known = {row.key: row for row in self.loop.rows()}
        self._seen: set[str] = set()
        self._fit: set[str] = set()
        self._unfit: set[str] = set()
        self._held: list[tuple[str, Exception, str, str]] = []

    def fresh(self, items: Iterable[T | Unread]) -> list[T]:
        """Items not known to be odd; odd ones whose turn it is come into `again`, others are passed over."""
        fresh = []
        for item in items:
            if isinstance(item, Unread):
                self._not_read(item)
                continue
            name = self._name(item)
            if name not in self._known:
                fresh.append(item)
            elif self._is_due(name, _digest(item)):
                self.again.append(item)
        return fresh

    @contextmanager
    def trying(self, item: T) -> Iterator["_Caught"]:
        """The block of one item, which learns afterwards with which error it ended."""
        with _caught() as caught:
            yield caught
        name = self._name(item)
        if caught.error is None:
            self._fit.add(name)
            self._put_held()
            return
        self._unfit.add(name)
        self._held.append((name, caught.error, _safely(self.about, item), _digest(item)))
        if not isinstance(caught.error, Unavailable | Unauthorized):
            self._put_held()
        elif len(self._held) >= AWAY_AFTER:
            del self._held[1:]  # so that in the end three odd items at the head keep no other from its turn
            self._put_held()
            raise caught.error

    def _put_held(self) -> None:
        """What the service failed at is the item's own when it answers for another."""
        for name, error, about, fingerprint in self._held:
            self.loop.set_aside(name, error, about=about, fingerprint=fingerprint)
        self._held.clear()

    def end(self, *, is_all: Whole) -> None:
        """Rows of what fits go; `is_all`: those of what is no longer there, too."""
        self._put_held()
        gone = self._fit - self._unfit
        if is_all:
            missing = [row for key, row in self._known.items() if key not in self._seen and key]
            gone |= {row.key for row in missing if is_all is True or is_all(row)}
        if gone := gone & self._known.keys():
            self.loop.fits(*gone)

    def _name(self, item: T) -> str:
        name = _key(_safely(self.key, item) or f"unnamed {_digest(item)[:12]}")
        self._seen.add(name)
        return name

    def _not_read(self, item: Unread) -> None:
        name = _key(item.key)
        self._seen.add(name)
        if name not in self._known or self._is_due(name, item.fingerprint):
            self._unfit.add(name)
            self.loop.set_aside(name, item.reason, about=item.about, fingerprint=item.fingerprint)

    def _is_due(self, name: str, fingerprint: str) -> bool:
        row = self._known[name]
        is_due = row.fingerprint != fingerprint or row.next_try_at <= timezone.now()
        if not is_due:
            self._unfit.add(name)
        return is_due


# --- how


@dataclass
class _Caught:
    error: Exception | None = None


@contextmanager
def _caught() -> Iterator[_Caught]:
    """Keeps whatever exception the block ends with, unless it says that something of ours is away."""
    caught = _Caught()
    try:
        yield caught
    except Exception as error:  # any class may come out of what others send; it ends as a row
        if is_ours(error):
            raise
        caught.error = error


def is_ours(error: Exception) -> bool:
    """Whether the database or Redis is away, busy or told to stop: no item is at fault then."""
    if isinstance(error, OperationalError):
        # PostgreSQL's class 54 is "program limit exceeded": a value too large for an index, say.
        return not str(getattr(error.__cause__, "pgcode", None) or "").startswith("54")
    return isinstance(error, InterfaceError | redis.ConnectionError | redis.TimeoutError | BrokerAway)


def _check_references() -> None:
    """Now and not when all is committed, when nobody could say whose fault it is."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def _savepoint() -> Any:
    """Within a transaction a failed statement spoils all that follow, unless they go back to here."""
    return transaction.atomic() if connection.in_atomic_block else nullcontext()


def _safely(name_of: Callable[[Any], Any] | None, item: Any) -> str:
    """The item's name; empty for one that has none."""
    if name_of is not None:
        with _caught():
            return str(name_of(item))
    return ""


def _key(key: Any) -> str:
    """The key as it is stored: what is too long keeps its beginning, and a hash of the whole."""
    text = str(key)
    if len(text) > LONGEST_KEY:
        text = f"{text[: LONGEST_KEY - 13]} {_digest(text)[:12]}"
    return clean(text, LONGEST_KEY)


def clean(text: str, longest: int) -> str:
    """Without what PostgreSQL takes in no text: NUL, and halves of surrogate pairs."""
    cut = text[:longest].replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return cut.encode(errors="replace").decode()


def _digest(item: Any) -> str:
    """A hash of all that the item says; of its type only, when it is nested too deeply to be written."""
    words = str(type(item))
    with _caught():
        words = repr(item)
    return hashlib.sha256(words.encode(errors="backslashreplace")).hexdigest()
