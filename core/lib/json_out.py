"""JSON that goes out: one way to write it, which takes whatever PostgreSQL gives back.

PostgreSQL keeps numbers digit for digit and writes 1e300 as 301 digits. Python reads a whole number from
that, which libraries that are made for 64 bits refuse. Numbers too long or too large for Python itself, which
only a hand in the database can have put there, come out exactly where a row's field has `RowDecoder`.
Not a number and infinity are no JSON: they become null. Half a character becomes a question mark.
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import orjson
from django.utils.functional import Promise
from rest_framework import renderers
from rest_framework.utils.encoders import JSONEncoder

# What Python turns into an int without being told to take longer ones.
MOST_DIGITS: Final = 4300
_WITHIN_64_BITS: Final = range(-(2**63), 2**64)
_as_drf_does: Final = JSONEncoder().default


def encode(value: Any, *, option: int = 0) -> bytes:
    """The value as JSON. option: flags of orjson, such as OPT_APPEND_NEWLINE."""
    try:
        return orjson.dumps(value, _plain, option)
    except TypeError:  # a number beyond 64 bits, half a character, a name that is no text: seldom
        return orjson.dumps(_spelt(value), _plain, option | orjson.OPT_NON_STR_KEYS)


def text(value: Any) -> str:
    """The same as text, for a cell or a page."""
    return encode(value).decode()


class Renderer(renderers.JSONRenderer):
    """DRF's, but for its writer: one number in one row must not take a whole list away."""

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None
    ) -> bytes:
        """UTF-8, without spaces; empty for no content."""
        return b"" if data is None else encode(data, option=orjson.OPT_PASSTHROUGH_DATETIME)


class RowDecoder(json.JSONDecoder):
    """For a JSONField whose rows must come out whatever they hold: numbers keep all their digits."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, parse_int=_whole, parse_float=_fraction)


def _whole(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= MOST_DIGITS else Decimal(digits)


def _fraction(digits: str) -> float | Decimal:
    number = float(digits)
    return number if math.isfinite(number) else Decimal(digits)


def _plain(value: Any) -> Any:
    """What orjson does not know by itself."""
    if isinstance(value, Decimal):
        return orjson.Fragment(_digits(value)) if value.is_finite() else None
    if isinstance(value, Promise):
        return str(value)
    return _as_drf_does(value)


def _spelt(value: Any) -> Any:
    """The same with what orjson refuses written out beforehand."""
    match value:
        case Mapping():
            return {_spelt(key): _spelt(item) for key, item in value.items()}
        case list() | tuple():
            return [_spelt(item) for item in value]
        case str():
            return value.encode(errors="replace").decode()
        case int() if value not in _WITHIN_64_BITS:
            return orjson.Fragment(_digits(Decimal(value)))
    return value


def _digits(number: Decimal) -> str:
    """As PostgreSQL writes it: no exponent, which not every reader takes for a whole number."""
    return format(number, "f")
