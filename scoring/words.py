"""How sentences about models write numbers, and in which language they are: as the pages do."""

from collections.abc import Sequence
from decimal import Decimal
from gettext import NullTranslations
from itertools import pairwise
from math import floor, log10
from typing import Protocol

THIN = "\u202f"  # between thousands: a comma there is a decimal mark to half of the readers
LEAST_PLAIN, MOST_PLAIN = 1e-4, 1e15  # without an exponent
MOST_DIGITS = 17  # of a float64


class Translations(Protocol):
    """What Django's `translation` is, and the standard library's `NullTranslations`."""

    def gettext(self, words: str, /) -> str: ...

    def ngettext(self, one: str, several: str, n: int, /) -> str: ...


_translations: Translations = NullTranslations()


def translate_by(translations: Translations) -> None:
    """Said once by whoever has readers of several languages; without, sentences are English."""
    global _translations
    _translations = translations


def gettext(words: str) -> str:
    """In the reader's language; values are put in afterwards."""
    return _translations.gettext(words)


def ngettext(one: str, several: str, n: int) -> str:
    """The same for words that depend on a number."""
    return _translations.ngettext(one, several, n)


def grouped(number: int) -> str:
    """12430 as "12 430"."""
    return f"{number:,}".replace(",", THIN)


def plain(number: float) -> str:
    """With all its digits, so that two different ones never look the same; 2.0 as 2."""
    is_whole = isinstance(number, float) and number.is_integer() and abs(number) < MOST_PLAIN
    return str(int(number) if is_whole else number)


def told_apart(numbers: Sequence[float], *, at_least: int = 4) -> list[str]:
    """With two digits of the least distance between them, and `at_least` in all. numbers: in order."""
    gap = min((after - before for before, after in pairwise(numbers)), default=0.0)
    largest = max(map(abs, numbers), default=0.0)
    digits = floor(log10(largest)) - floor(log10(gap)) + 2 if gap > 0 else at_least
    return [_rounded(number, min(max(digits, at_least), MOST_DIGITS)) for number in numbers]


def _rounded(number: float, digits: int) -> str:
    text = f"{number:.{digits}g}"
    return f"{Decimal(text):f}" if LEAST_PLAIN <= abs(number) < MOST_PLAIN else text
