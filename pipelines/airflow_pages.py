"""Airflow's lists, page by page, past what it fails at itself.

One item that Airflow cannot show makes it fail at the whole page: that is taken apart until the item stands
alone, and the others are read. A list that changes between two pages moves its items to other places: so each
page begins with the last item of the one before, and where it does not, the pages before are read again.
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from core.lib.aside_round import digest, safely
from core.lib.errors import Unavailable
from pipelines.answers import UnreadPage, is_whole, unread_page

PAGE = 100  # Airflow cuts larger pages silently, and smaller ones where it is set to
APART_S = 15.0  # so long a list is taken apart from the first failure on
BROKEN_AFTER = 3  # items at which it fails, and none that it shows: it may fail at all
LONGEST_STEP = 4096  # to an item further along, which says whether it does
MOST_BACK = 10  # pages of a list that are read again because it changed


class Failed(Unavailable):
    """Airflow answered 500: it fails at what it was asked for, and may show what lies beside it."""


class Listed(NamedTuple):
    """Some items of a list, and how many that has; None where Airflow only says that it has many."""

    items: list[Any]
    n_all: int | None


Page = Callable[[int, int], Listed]  # what it has from an offset on, at most so many


def listed(answer: Any, name: str) -> Listed:
    """What an answer says of the list of this name."""
    items = list(answer[name])
    is_bound = answer.get("total_entries_limit") is not None
    return Listed(items, None if is_bound else answer.get("total_entries"))


def all_of(page: Page, name: Callable[[Any], str], *, most: int | None = None) -> list[Any]:
    """The items of a list, page by page; an `UnreadPage` for each one at which Airflow itself fails.

    name: of an item, as long as it keeps its place among the others. most: so many are enough. A list that
    does not stand still for long enough has an `UnreadPage` too. Raises what `page` raises, also where taking
    a page apart lasts too long.
    """
    parts = _Parts(page)
    found: dict[str, Any] = {}
    offset, n_back, is_joined = 0, 0, False
    while True:
        items = parts.of(offset, PAGE)
        named = {_named(name, item): item for item in items}
        if is_joined and next(iter(named), None) not in found:
            n_back += 1
            if n_back <= MOST_BACK:
                offset = max(offset - PAGE, 0)
                is_joined = offset > 0
                continue
            gap = unread_page(offset, _("The list changed while it was read."))
            named[gap.key] = gap
        found |= named
        end = offset + len(items)
        is_last = end >= parts.n_all if parts.n_all is not None else len(items) < PAGE
        if is_last or not items or (most is not None and len(found) >= most):
            return list(found.values())
        # Where something is missing anyway, nothing counts as gone: there is no need to look for more.
        is_joined = len(items) > 1 and is_whole(found.values())
        offset = end - is_joined


def _named(name: Callable[[Any], str], item: Any) -> str:
    return item.key if isinstance(item, UnreadPage) else safely(name, item) or digest(item)


class _Parts:
    """Takes a page that fails apart, in halves, down to the items that Airflow cannot show.

    n_all: how many the list had at the last look.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self.n_all: int | None = None
        self._give_up_at = math.inf  # a long list that is well has all its time
        self._n_unread, self._has_read = 0, False

    def of(self, offset: int, size: int) -> list[Any]:
        """The items from `offset` on; fewer than `size` at the list's end, or where Airflow gives fewer."""
        try:
            items, self.n_all = self._page(offset, size)
        except Failed as error:
            self._give_up_at = min(self._give_up_at, time.monotonic() + APART_S)
            if time.monotonic() > self._give_up_at:
                raise
            if size == 1:
                return [self._unread(offset, error)]
        else:
            self._has_read |= bool(items)
            return items
        half = self.of(offset, size // 2)
        is_short = len(half) < size // 2
        return half if is_short else half + self.of(offset + size // 2, size - size // 2)

    def _unread(self, offset: int, error: Failed) -> UnreadPage:
        self._n_unread += 1
        if self._n_unread == BROKEN_AFTER and not self._has_read and self._is_broken(offset):
            raise error
        return unread_page(offset, error.message)

    def _is_broken(self, offset: int) -> bool:
        """Whether it fails at what lies further along too: steps that grow, and halve once they pass the end.

        What is left of a list that ends within a page is read item by item, whatever they are.
        """
        last, step, is_past_end = offset, 1, False
        while 0 < step <= LONGEST_STEP and time.monotonic() <= self._give_up_at:
            try:
                items = self._page(last + step, 1).items
            except Failed:
                last += step
            else:
                if items:
                    return False
                is_past_end = True
            step = step // 2 if is_past_end else step * 4
        return not is_past_end or last - offset > PAGE
