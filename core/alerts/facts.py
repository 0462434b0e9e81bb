"""The numbers behind a finding: kept within bounds on the way in, as rows of a table on the way out.

{"PSI of Age": {"value": 0.31, "threshold": 0.2}, "rows": 500, "missing": {"value": 0.08, "unit": "share"}}
Some units say how a value is written for people: "share" is a number in 0..1, "s" seconds, "time" a moment,
kept as ISO 8601. A datetime needs no unit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.lib import storable, times
from core.lib.templatetags import numbers

MOST_FACTS: Final = 40
LONGEST_NAME: Final = 100
LONGEST_TEXT: Final = 300
PARTS: Final = ("value", "unit", "threshold")
SHOWN_WHOLE_BELOW: Final = 10**15
MOST_MORE: Final = 14  # of a double's seventeen digits four are shown anyway

PIPELINE_RULES: Final = "pipeline-"  # how the names of rules for pipelines begin
# Names by which such a rule finds its own facts again: they are translated where they are shown.
WORDS: Final = {
    "run": gettext_lazy("Run"),
    "ended": gettext_lazy("Ended"),
    "time": gettext_lazy("Duration"),
    "last success": gettext_lazy("Last success"),
    "gone since": gettext_lazy("Gone since"),
    "expected": gettext_lazy("Expected"),
}

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Fact:
    """One row: `value` and the `threshold` it is held against share the unit.

    is_word: the name is one of WORDS, not one that others gave, such as that of a stream's field.
    """

    name: str
    value: Scalar
    unit: str = ""
    threshold: Scalar = None
    is_word: bool = False

    @property
    def label(self) -> str:
        """Its name for people."""
        return str(WORDS.get(self.name, self.name)) if self.is_word else self.name

    @property
    def value_in_words(self) -> str:
        """With its unit, in the language and the time zone of the reader."""
        return in_words(self.value, self.unit, self._n_more)

    @property
    def threshold_in_words(self) -> str:
        """The same of what it is held against."""
        return in_words(self.threshold, self.unit, self._n_more)

    @property
    def _n_more(self) -> int:
        """Digits beyond the usual ones by which the value and what it is held against are told apart."""
        pair = [self.value, self.threshold]
        if pair[0] == pair[1] or not all(isinstance(one, int | float) for one in pair):
            return 0
        told = (n for n in range(MOST_MORE) if len({in_words(one, self.unit, n) for one in pair}) > 1)
        return next(told, 0)


def in_words(value: Scalar, unit: str, n_more: int = 0) -> str:
    """As pages and mails write it, with `n_more` digits than they usually do; "–" for none."""
    if value is None or value == "":
        return numbers.NOTHING
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, str):
        at = times.moment(value, is_planned=True) if unit == "time" else None
        text = numbers.absolute(at) if at else value
        return f"{text} {unit}" if unit and unit != "time" else text
    if unit == "share":
        return numbers.percent(value, 1 + n_more)
    if unit == "s" and not n_more:
        return numbers.span(value)
    if isinstance(value, int) and abs(value) < SHOWN_WHOLE_BELOW:
        number = numbers.whole(value)
    else:
        number = numbers.significant(value, 4 + n_more)
    return f"{number} {unit}".strip()


def bounded(facts: Mapping[str, Any]) -> list[dict[str, Scalar]]:
    """The facts as they are stored: the first 40, long texts cut, numbers that JSON lacks as words.

    A list, because JSON in PostgreSQL does not keep the order of names.
    """
    first = list(facts.items())[:MOST_FACTS]
    return [{"name": cut(name, LONGEST_NAME), **_parts(given)} for name, given in first]


def _parts(given: Any) -> dict[str, Scalar]:
    parts = given if isinstance(given, Mapping) else {"value": given}
    if isinstance(parts.get("value"), datetime):
        parts = {"unit": "time", **parts}
    return {key: _storable(parts[key]) for key in PARTS if parts.get(key) is not None}


def _storable(value: Any) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, bool | int | float):
        return value
    return cut(value, LONGEST_TEXT)


def cut(value: object, longest: int) -> str:
    """At most `longest` characters, as PostgreSQL takes them."""
    return storable.text(str(value)[:longest])


def rows(stored: Iterable[Mapping[str, Any]], *, rule: str) -> list[Fact]:
    """What `bounded` made of the facts of an alert of this rule, for a table."""
    is_word = rule.startswith(PIPELINE_RULES)
    return [Fact(**{"value": None, **parts}, is_word=is_word) for parts in stored]
