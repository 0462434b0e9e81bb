"""One round over items of others: which are tried this time, how each did, and what its fault is called.

Apps use `core.lib.aside`, whose `Loop` goes in such rounds and keeps what was set aside.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, Generic, Protocol, TypeVar

import redis
from django.db import Error, InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerAway

from core.lib import storable
from core.lib.errors import ConsoleError, Unauthorized, Unavailable
from core.lib.models import SetAside

T = TypeVar("T")
R = TypeVar("R")
Whole = bool | Callable[[SetAside], bool]

LONGEST_KEY: Final = 1_000
LONGEST_ABOUT: Final = 300
LONGEST_REASON: Final = 500
# A service that fails this many items one after the other is away: that is the fault of one at most.
AWAY_AFTER: Final = 3
# Of items that were set aside and stay as they are so many are tried in one round: each is tried alone.
AGAIN_AT_ONCE: Final = 200


@dataclass(frozen=True)
class Unread:
    """Stands in a list for an item of a service's answer that could not be read: its key, and why."""

    key: str
    reason: str
    about: str = ""
    fingerprint: str = ""


class Keeper(Protocol):
    """What a round needs of its loop: the rows of what was set aside, one more of them, or fewer."""

    def rows(self) -> QuerySet[SetAside]: ...

    def set_aside(
        self,
        key: Any,
        why: Exception | str,
        *,
        about: str = "",
        fingerprint: str = "",
        n_beyond: int = 0,
    ) -> bool: ...

    def fits(self, *keys: Any) -> None: ...


@dataclass
class Round(Generic[T]):
    """One pass of a loop: which of its items were set aside before, and how each did this time."""

    loop: Keeper
    key: Callable[[T], Any]
    about: Callable[[T], Any] | None

    def __post_init__(self) -> None:
        self._again: list[T] = []
        self._known = {row.key: row for row in self.loop.rows().defer("reason")}
        self._seen: set[str] = set()
        self._fit: set[str] = set()
        self._unfit: set[str] = set()
        self._held: list[tuple[str, Exception, str, str]] = []
        self._n_beyond = 0
        self._as_it_was: list[tuple[datetime, str, T | Unread]] = []

    def fresh(self, items: Iterable[T | Unread]) -> list[T]:
        """Items not known to be odd; others are for `odd`. May be called with one piece after the other."""
        fresh: list[T] = []
        for item in items:
            name = self._name(item)
            row = self._known.get(name)
            if row is None and not isinstance(item, Unread):
                fresh.append(item)
            elif row is None or row.fingerprint != _fingerprint(item):
                self._try_again(name, item)
            else:
                self._as_it_was.append((row.next_try_at, name, item))
        return fresh

    def odd(self) -> list[T]:
        """After all pieces: odd items that have changed, and of the others those whose turn it is."""
        now = timezone.now()
        self._as_it_was.sort(key=itemgetter(0))
        for place, (next_try_at, name, item) in enumerate(self._as_it_was):
            if next_try_at <= now and place < AGAIN_AT_ONCE:
                self._try_again(name, item)
            else:
                self._unfit.add(name)
        return self._again

    def saved(self, items: Sequence[T], save: Callable[[Sequence[T]], Iterable[R] | None]) -> list[R]:
        """What `save` returned: of all in one transaction, or of halves of what fails, down to odd items."""
        results: list[R] = []
        batches = [items] if items else []
        while batches:
            batch = batches.pop()
            is_one = len(batch) == 1
            with self.trying(batch[0]) if is_one else caught() as met, transaction.atomic():
                done = list(save(batch) or ())
                check_references()
            if met.error is None:
                self._put_held()
                results += done
            elif not is_one:
                middle = len(batch) // 2
                batches += [batch[middle:], batch[:middle]]
        return results

    @contextmanager
    def trying(self, item: T) -> Iterator["Caught"]:
        """The block of one item, which learns afterwards with which error it ended."""
        with caught() as met:
            yield met
        name = self._name(item)
        if met.error is None:
            self._fit.add(name)
            self._put_held()
            return
        self._unfit.add(name)
        self._held.append((name, met.error, safely(self.about, item), digest(item)))
        if not isinstance(met.error, Unavailable | Unauthorized):
            self._put_held()
        elif len(self._held) >= AWAY_AFTER:
            del self._held[1:]  # so that in the end three odd items at the head keep no other from its turn
            self._put_held()
            raise met.error

    def _put_held(self) -> None:
        """What the service failed at is the item's own when it answers for another."""
        for name, error, about, fingerprint in self._held:
            self._set_aside(name, error, about=about, fingerprint=fingerprint)
        self._held.clear()

    def _set_aside(self, name: str, why: Exception | str, *, about: str, fingerprint: str) -> None:
        is_kept = self.loop.set_aside(
            name, why, about=about, fingerprint=fingerprint, n_beyond=self._n_beyond
        )
        self._n_beyond += not is_kept

    def end(self, *, is_all: Whole) -> None:
        """Rows of what fits go; `is_all`: those of what is no longer there, too."""
        self._put_held()
        gone = self._fit - self._unfit
        if is_all:
            missing = [row for key, row in self._known.items() if key not in self._seen and key]
            gone |= {row.key for row in missing if is_all is True or is_all(row)}
        if gone := gone & self._known.keys():
            self.loop.fits(*gone)

    def _name(self, item: T | Unread) -> str:
        told = item.key if isinstance(item, Unread) else safely(self.key, item)
        name = key_of(told or f"unnamed {digest(item)[:12]}")
        self._seen.add(name)
        return name

    def _try_again(self, name: str, item: T | Unread) -> None:
        if isinstance(item, Unread):
            self._unfit.add(name)
            self._set_aside(name, item.reason, about=item.about, fingerprint=item.fingerprint)
        else:
            self._again.append(item)


def _fingerprint(item: Any) -> str:
    return item.fingerprint if isinstance(item, Unread) else digest(item)


@dataclass
class Caught:
    error: Exception | None = None


@contextmanager
def caught() -> Iterator[Caught]:
    """Keeps whatever exception the block ends with, unless it says that something of ours is away."""
    met = Caught()
    try:
        yield met
    except Exception as error:  # any class may come out of what others send; it ends as a row
        if is_ours(error):
            raise
        met.error = error


def is_ours(error: Exception) -> bool:
    """Whether the database or Redis is away, busy or told to stop: no item is at fault then."""
    if isinstance(error, OperationalError):
        # PostgreSQL's class 54 is "program limit exceeded": a value too large for an index, say.
        return not str(getattr(error.__cause__, "pgcode", None) or "").startswith("54")
    return isinstance(error, InterfaceError | redis.ConnectionError | redis.TimeoutError | BrokerAway)


def check_references() -> None:
    """Now and not when all is committed, when nobody could say whose fault it is."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def savepoint() -> Any:
    """Within a transaction a failed statement spoils all that follow, unless they go back to here."""
    return transaction.atomic() if connection.in_atomic_block else nullcontext()


def safely(name_of: Callable[[Any], Any] | None, item: Any) -> str:
    """The item's name; empty for one that has none."""
    if name_of is not None:
        with caught():
            return str(name_of(item))
    return ""


def key_of(key: Any) -> str:
    """The key as it is stored: what is too long keeps its beginning, and a hash of the whole."""
    text = str(key)
    if len(text) > LONGEST_KEY:
        text = f"{text[: LONGEST_KEY - 13]} {digest(text)[:12]}"
    return clean(text, LONGEST_KEY)


def clean(text: str, longest: int) -> str:
    """Its beginning, as it is stored."""
    return storable.text(text[:longest])


def digest(item: Any) -> str:
    """A hash of all that the item says; of its type only, when it is nested too deeply to be written."""
    words = str(type(item))
    with caught():
        words = repr(item)
    return hashlib.sha256(words.encode(errors="backslashreplace")).hexdigest()


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
