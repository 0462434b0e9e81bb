"""What people type: text as it is, numbers with a decimal comma, with gaps between thousands, as pages do.

A mark that may be either a decimal point or a thousands separator is never guessed at.
"""

import json
import re
from collections.abc import Collection
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils import formats
from django.utils.translation import gettext as _

from core.lib import json_bodies
from core.lib.templatetags.numbers import MINUS

BOX: Final = {"autocomplete": "off"}
LINES: Final = {"rows": 4, **BOX}

_GAPS: Final = " \u00a0\u202f\u2009'’"  # what stands between thousands and can be nothing else
_NUMBER: Final = re.compile(r"([+-]?)([0-9.,]+)(?:[eE]([+-]?[0-9]{1,4}))?")
_GAPPED: Final = re.compile(rf"(?<=[0-9])[{_GAPS}](?=[0-9]{{3}}(?![0-9]))")


class NotANumber(ValueError):
    """What to tell the person who typed it."""


def number(text: str) -> str:
    """What was typed, as Python reads numbers: "7,25" is "7.25" where the reader's language writes it so.

    Raises NotANumber.
    """
    plain = ungapped(text.strip().replace(MINUS, "-"))
    found = _NUMBER.fullmatch(plain)
    if found is None:
        raise NotANumber(not_a_number())
    sign, digits, power = found.groups()
    whole, _point, fraction = _with_point(digits).partition(".")
    if not (whole + fraction).isdigit():
        raise NotANumber(not_a_number())
    return f"{sign}{whole or 0}{'.' if fraction else ''}{fraction}{f'e{power}' if power else ''}"


def ungapped(text: str) -> str:
    """Without the gaps between thousands: "0:1 234 567" is "0:1234567"."""
    return _GAPPED.sub("", text)


def not_a_number() -> str:
    """What to tell who wrote one that is none, in the reader's own way to write it."""
    return _("Write a number, such as %(example)s.") % {"example": shown(7.25)}


def shown(value: float | str) -> str:
    """A number as its reader would type it: no gaps, all digits, the language's decimal mark; 2.0 as 2."""
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value) if is_whole else value).replace(".", _decimal_mark())


def _decimal_mark() -> str:
    return str(formats.get_format("DECIMAL_SEPARATOR"))


def _with_point(digits: str) -> str:
    """Digits with marks among them as digits with one point at most."""
    marks = [char for char in digits if char in ".,"]
    if not marks:
        return digits
    *before, last = marks
    if not before:
        return _one_mark(digits, last)
    if last in before or len(set(before)) > 1:  # 1,234,567: not one of them is a decimal point
        return _ungrouped(digits, last) if len(set(marks)) == 1 else _refused()
    whole, _mark, fraction = digits.rpartition(last)
    return f"{_ungrouped(whole, before[0])}.{fraction}"


def _one_mark(digits: str, mark: str) -> str:
    is_ours = mark == _decimal_mark()
    if not is_ours and re.fullmatch(rf"[1-9][0-9]{{0,2}}{re.escape(mark)}[0-9]{{3}}", digits):
        whole, fraction = digits.split(mark)
        either = {"large": whole + fraction, "small": f"{whole}{_decimal_mark()}{fraction}"}
        raise NotANumber(_("Is this %(large)s or %(small)s? Write it one of these ways.") % either)
    return digits.replace(mark, ".")


def _ungrouped(digits: str, mark: str) -> str:
    if not re.fullmatch(rf"[0-9]{{1,3}}(?:{re.escape(mark)}[0-9]{{3}})+", digits):
        _refused()
    return digits.replace(mark, "")


def _refused() -> str:
    raise NotANumber(not_a_number())


class _Typed:
    """Reads what people type and shows it again as they would. The box is one of text: a browser's own
    box for numbers silently drops what it does not read.
    """

    inputmode = "decimal"

    def __init__(self, **options: Any) -> None:
        box = forms.TextInput({"inputmode": self.inputmode, **BOX})
        super().__init__(**{"widget": box, **options})

    def to_python(self, value: Any) -> Any:
        """The number. Raises ValidationError."""
        if isinstance(value, str) and value.strip():
            try:
                value = number(value)
            except NotANumber as error:
                raise ValidationError(str(error), code="invalid") from error
        return super().to_python(value)  # type: ignore[misc]

    def prepare_value(self, value: Any) -> Any:
        """As its reader would type it; what was typed stays."""
        return shown(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class NumberField(_Typed, forms.FloatField):
    """A number: 6 a whole one and 6.0 none, as in JSON and Python."""

    def to_python(self, value: Any) -> Any:
        """The number. Raises ValidationError."""
        found = super().to_python(value)
        if isinstance(value, str) and isinstance(found, float) and found.is_integer():
            text = number(value)
            return int(text) if text.lstrip("+-").isdigit() else found
        return found


class WholeField(_Typed, forms.IntegerField):
    """A whole number."""

    inputmode = "numeric"


class JSONText(forms.JSONField):
    """JSON in a text box, kept as typed when it is wrong."""

    empty_values = (None, "")  # an empty list or object is a value

    def __init__(self, **options: Any) -> None:
        box = forms.Textarea({**LINES, "class": "mono", "spellcheck": "false"})
        words = {"invalid": _('Write JSON, such as {"depth": [10, 20]}.')}
        super().__init__(widget=box, error_messages=words, **options)

    def to_python(self, value: Any) -> Any:
        """Read as any JSON that comes in; what is no JSON at all gets the field's own words."""
        if value in self.empty_values or not isinstance(value, str):
            return super().to_python(value)
        try:
            return json_bodies.read(value)
        except json_bodies.NotJSON as error:
            words = f"{self.error_messages['invalid']} {error}"
            raise forms.ValidationError(words, code="invalid") from error
        except json_bodies.Unreadable as error:
            raise forms.ValidationError(str(error)) from error

    def bound_data(self, data: Any, initial: Any) -> Any:
        """For the page that shows it again."""
        try:
            return None if data is None else json_bodies.read(data)
        except json_bodies.Unreadable:
            return forms.fields.InvalidJSONInput(data)

    def prepare_value(self, value: Any) -> Any:
        """An empty box for nothing, instead of the word null."""
        return "" if value is None else super().prepare_value(value)


class Text(forms.CharField):
    """Text byte for byte: no white space is taken off, and lines end as they do in JSON.

    A browser sends the lines of a text box with CRLF, whatever it was given.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(strip=False, **options)

    def to_python(self, value: Any) -> Any:
        """With bare line ends."""
        return super().to_python(value.replace("\r\n", "\n") if isinstance(value, str) else value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether more than line ends differ."""
        return super().has_changed(self.to_python(initial), data)


def is_line(value: Any) -> bool:
    """Whether a `LinesField` gives it back as it is."""
    return isinstance(value, str) and value == value.strip() != "" and not re.search(r"[\r\n]", value)


class LinesField(forms.Field):
    """Texts, each on a line of its own. nothing: what an empty box stands for."""

    widget = forms.Textarea(LINES)

    def __init__(self, *, nothing: Any, **options: Any) -> None:
        self.nothing = nothing
        super().__init__(**options)

    def to_python(self, value: Any) -> Any:
        """Without empty lines, and white space around the others."""
        lines = value.split("\n") if isinstance(value, str) else value or []
        return [line.strip() for line in lines if line.strip()] or self.nothing

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether more than white space differs."""
        return super().has_changed(self.to_python(initial), data)

    def prepare_value(self, value: Any) -> Any:
        """As lines."""
        return "\n".join(value) if isinstance(value, list) else value


_JSON_TYPES: Final[dict[type, tuple[str, ...]]] = {
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    dict: ("object",),
    list: ("array",),
}


class _AsTyped(str):
    """What stood in the box, which is shown again as it was."""

    __slots__ = ()


class UnionField(forms.Field):
    """Text, or JSON of one of the other types that may stand there: 500 is a number where one may.

    In quotes it is text in any case. types: JSON's names, "string" among them. nothing: for an empty box.
    """

    def __init__(self, *, types: Collection[str], nothing: Any, **options: Any) -> None:
        self.types, self.nothing = types, nothing
        is_long = not {"object", "array"}.isdisjoint(types)
        box = forms.Textarea({**LINES, "class": "mono"}) if is_long else forms.TextInput(BOX)
        super().__init__(**{"widget": box, **options})

    def to_python(self, value: Any) -> Any:
        """The value in its type."""
        if not isinstance(value, str):
            return value
        text = value.replace("\r\n", "\n")
        return self._read(text) if text.strip() else self.nothing

    def _read(self, text: str) -> Any:
        try:
            found = json_bodies.read(text)
        except json_bodies.Unreadable:
            return text
        if isinstance(found, str):  # quotes count only where they make a difference
            return text if self._read(found) == found else found
        return found if not set(_JSON_TYPES.get(type(found), ())).isdisjoint(self.types) else text

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether value or type differ: true is not 1."""
        value = self.to_python(data)
        return type(value) is not type(initial) or value != initial

    def bound_data(self, data: Any, initial: Any) -> Any:
        """For the page that shows it again."""
        return _AsTyped(data) if isinstance(data, str) else data

    def prepare_value(self, value: Any) -> Any:
        """Text as it is unless it would be read as something else, the rest as JSON."""
        if value is None or isinstance(value, _AsTyped):
            return value
        is_plain = isinstance(value, str) and self.to_python(value) == value
        return value if is_plain else json.dumps(value, ensure_ascii=False)


_KINDS: Final[dict[type, type[forms.Field]]] = {
    forms.FloatField: NumberField,
    forms.IntegerField: WholeField,
}


def field_of(db_field: Any, **options: Any) -> forms.Field | None:
    """For a ModelForm's `formfield_callback`: numbers get the fields of this module."""
    made: forms.Field | None = db_field.formfield(**options)
    kind = _KINDS.get(type(made))
    return made if kind is None else db_field.formfield(**options | {"form_class": kind})
