"""The numbers behind a finding: kept within bounds on the way in, as rows of a table on the way out.

{"PSI of Age": {"value": 0.31, "threshold": 0.2}, "rows": 500, "missing": {"value": 0.08, "unit": "share"}}
A unit of "share" is a number in 0..1, shown as per cent.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_FACTS: Final = 40
LONGEST_NAME: Final = 100
LONGEST_TEXT: Final = 300
PARTS: Final = ("value", "unit", "threshold")

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Fact:
    """One row: `value` and the `threshold` it is held against share the unit."""

    name: str
    value: Scalar
    unit: str = ""
    threshold: Scalar = None


def bounded(facts: Mapping[str, Any]) -> list[dict[str, Scalar]]:
    """The facts as they are stored: the first 40, long texts cut, numbers that JSON lacks as words.

    A list, because JSON in PostgreSQL does not keep the order of names.
    """
    first = list(facts.items())[:MOST_FACTS]
    return [{"name": cut(name, LONGEST_NAME), **_parts(given)} for name, given in first]


def _parts(given: Any) -> dict[str, Scalar]:
    parts = given if isinstance(given, Mapping) else {"value": given}
    return {key: _storable(parts[key]) for key in PARTS if parts.get(key) is not None}


def _storable(value: Any) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, bool | int | float):
        return value
    return cut(value, LONGEST_TEXT)


def cut(value: object, longest: int) -> str:
    """At most `longest` characters, none of them NUL, which PostgreSQL does not take."""
    return str(value).replace("\x00", "\N{REPLACEMENT CHARACTER}")[:longest]


def rows(stored: Iterable[Mapping[str, Any]]) -> list[Fact]:
    """What `bounded` made, for a table."""
    return [Fact(**{"value": None, **parts}) for parts in stored]
