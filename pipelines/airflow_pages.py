"""Airflow's lists, page by page, past what it fails at itself.

One item that Airflow cannot show makes it fail at the whole page: that is taken apart until the item stands
alone, and the others are read.
"""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from core.lib.errors import Unavailable
from pipelines.answers import UnreadPage, unread_page

PAGE = 100  # Airflow cuts larger pages silently, and smaller ones where it is set to
APART_S = 15.0  # so long a list is taken apart from the first failure on
BROKEN_AFTER = 3  # items at which it fails, and none that it shows: it may fail at all
LONGEST_STEP = 4096  # to an item further along, which says whether it does


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


def all_of(page: Page, *, most: int | None = None) -> list[Any]:
    """The items of a list, page by page; an `UnreadPage` for each one at which Airflow itself fails.

    most: so many are enough. Raises what `page` raises, also where taking a page apart lasts too long.
    """
    parts = _Parts(page)
    found: list[Any] = []
    while True:
        items = parts.of(len(found), PAGE)
        found += items
        is_last = len(found) >= parts.n_all if parts.n_all is not None else len(items) < PAGE
        if is_last or not items or (most is not None and len(found) >= most):
            return found


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
        """The items from `offset` on; fewer than `size` where the list ends, or Airflow gives fewer at once."""
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
