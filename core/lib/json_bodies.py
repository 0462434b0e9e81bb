"""JSON that comes in: no deeper than anybody needs, and without what no row, text or reader could hold."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import IO, Any, Final, NoReturn

from django.utils.translation import gettext as _
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from core.lib.storable import has_half_characters

MOST_DEEP: Final = 64
LARGEST: Final = int(sys.float_info.max)  # beyond it a reader with floats has only infinity


class Unreadable(ValueError):
    """No JSON, or none that is taken; in words for whoever sent it."""


class NotJSON(Unreadable):
    """It breaks the grammar."""


def read(text: str | bytes) -> Any:
    """The value. Raises Unreadable."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise Unreadable(too_deep()) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise NotJSON(_("This is not JSON: %(error)s.") % {"error": error}) from error
    except NotJSON:
        raise
    except ValueError as error:  # more digits than Python reads
        raise Unreadable(too_large()) from error
    if words := _unreadable(value):
        raise Unreadable(words)
    return value


def fault(value: object) -> str:
    """Why no row may hold the value, whatever it was made from; empty when one may.

    What `read` gave can still hold null characters, which fields of text refuse at their own name.
    """
    if words := _unreadable(value):
        return words
    has_null = any(isinstance(one, str) and "\x00" in one for one in _parts(value))
    return _("A text holds a null character (\\u0000).") if has_null else ""


def _unreadable(value: object) -> str:
    if is_too_deep(value):
        return too_deep()
    return next((words for one in _parts(value) if (words := _fault_of(one))), "")


def is_too_deep(value: object) -> bool:
    """Whether lists and objects are nested in more than `MOST_DEEP` levels."""
    level = [value]
    for _level in range(MOST_DEEP + 1):
        level = [child for one in level for child in _children(one)]
        if not level:
            return False
    return True


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _parts(value: object) -> Iterator[object]:
    """Everything in it that is neither list nor object, names too."""
    if isinstance(value, dict):
        yield from value
    if isinstance(value, dict | list):
        for child in _children(value):
            yield from _parts(child)
    else:
        yield value


def _fault_of(part: object) -> str:
    if isinstance(part, int | float):  # infinity is what Python makes of 1e999
        return "" if -LARGEST <= part <= LARGEST else too_large()
    is_half = isinstance(part, str) and has_half_characters(part)
    return _half_a_character() if is_half else ""


def _refuse_constant(name: str) -> NoReturn:
    raise NotJSON(_("This is not JSON: %(name)s is no number.") % {"name": name})


def too_deep() -> str:
    """What to tell whoever sent it."""
    return _("The JSON is nested more than %(n)d levels deep.") % {"n": MOST_DEEP}


def too_large() -> str:
    """The same of a number."""
    return _("A number in the JSON is too large: write none beyond 1.7e308.")


def _half_a_character() -> str:
    return _("A text holds one half of a character (\\ud800 to \\udfff).")


class JSONParser(parsers.JSONParser):
    """DRF's own, for which much of this is a fault of the console. Always UTF-8 (RFC 8259)."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            return read(stream.read())
        except Unreadable as error:
            raise ParseError(str(error)) from error
