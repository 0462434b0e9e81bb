"""Many things a piece at a time, so that no more than one piece is held."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter; the next is taken when it is asked for."""
    remaining = iter(items)
    while piece := list(islice(remaining, size)):
        yield piece
