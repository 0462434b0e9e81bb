"""One value against its field: the definition of what is right, with a sentence for what is not."""

import math
from decimal import Decimal
from typing import Any

from scoring.language import MAX_INTEGER, MAX_NUMBER, MAX_TEXT, Field, bare
from scoring.words import gettext as _
from scoring.words import plain

Value = int | float | str | bool | None

_TRUE = frozenset({"true", "1", "yes", "on", "y", "t"})
_FALSE = frozenset({"false", "0", "no", "off", "n", "f"})
_SHOWN_CHOICES = 12


class ValueFault(ValueError):
    """What is wrong with a value and how to correct it, for the person who sent it."""


def normalise(field: Field, value: object) -> Value:
    """The value as the model takes it: whole floats become integers, "" becomes null.

    Raises ValueFault.
    """
    if value is None or value == "":
        if field.nullable:
            return None
        is_empty = value == ""
        raise ValueFault(
            _("must not be empty: give a value") if is_empty else _("must not be null: give a value")
        )
    checked: Value = trimmed(field, _CHECKS[field.type](value))
    _check_bounds(field, checked)
    _check_choice(field, checked)
    return checked


def trimmed(field: Field, value: Value) -> Value:
    """A known choice, where the value differs from that one alone by spaces around it or by how Unicode
    composes its letters (`é` as one character or as two); else the value as it is.
    """
    if field.choices is None or not isinstance(value, str):
        return value
    choices = field.choices
    return value if value in choices.known else choices.by_bare.get(bare(value), value)


def absent(field: Field) -> Value:
    """What a field becomes when its key is not there. Raises ValueFault."""
    if field.required:
        raise ValueFault(_("is missing: this field is required"))
    return field.default


def from_text(field: Field, text: str) -> object:
    """A value typed into a form or read from a CSV file, before `normalise`; unreadable text stays text."""
    text = text.strip() if field.type != "text" else text
    if text == "":
        return ""
    if field.type == "boolean":
        lowered = text.lower()
        return True if lowered in _TRUE else False if lowered in _FALSE else text
    if field.is_numeric:
        return _number_from_text(text)
    return text


def from_table(field: Field, value: object) -> object:
    """A value of a table that a program wrote, before `normalise`: NaN for missing, 0 and 1 for no and yes,
    numbers for codes, which are floats where a data frame lacks some of them, and decimals.
    """
    if isinstance(value, Decimal):
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float) and value != value:
        return None
    if field.type == "boolean" and not isinstance(value, bool) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and not field.is_text:
        return from_text(field, value)
    return _code(value) if field.is_text else value


def _code(value: object) -> object:
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return str(int(value))
    return str(value) if type(value) is int else value


def warning(field: Field, value: Value) -> str | None:
    """Unusual but allowed: outside the training rows' range, or a new value of an open choice."""
    if value is None:
        return None
    if field.seen is not None and not field.seen[0] <= float(value) <= field.seen[1]:
        low, high = field.seen
        seen = f"{plain(low)} to {plain(high)}"
        return f"{field.name} is {shown(value)}, an outlier: outside the range seen in training ({seen})"
    choices = field.choices
    if choices is not None and choices.open and value not in choices.known:
        return f"{field.name} is {shown(value)}, a value the model has not seen"
    return None


def shown(value: object) -> str:
    """A value inside a sentence, never longer than a sentence bears."""
    if isinstance(value, str):
        return f'"{value[:40]}…"' if len(value) > 40 else f'"{value}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return _("an object") if isinstance(value, dict) else _("a list")
    if isinstance(value, float):
        return plain(value)
    return str(value) if not isinstance(value, int) or abs(value) <= MAX_INTEGER else _("a very large number")


def _number_from_text(text: str) -> object:
    if "_" in text:  # Python reads 1_5 as 15
        return text
    try:
        return int(text) if len(text) <= 20 else float(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _integer(value: object) -> int:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueFault(_("must be a whole number such as 3, not %(value)s") % {"value": _described(value)})
    if abs(value) > MAX_INTEGER:
        raise ValueFault(_("is too large: whole numbers go up to %(most)s") % {"most": MAX_INTEGER})
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueFault(_("must be a number such as 22.5, not %(value)s") % {"value": _described(value)})
    if isinstance(value, float) and math.isnan(value):
        raise ValueFault(
            _("must be a number: NaN is not allowed; send null, or leave it out, when it is not known")
        )
    if abs(value) > MAX_NUMBER:
        raise ValueFault(_("must be a finite number: this one is infinite or too large"))
    return float(value)  # as the quick way of a call in JSON reads it


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueFault(_('must be text such as "abc", not %(value)s') % {"value": _described(value)})
    if len(value) > MAX_TEXT:
        words = _("is too long: %(n)s characters, at most %(most)s")
        raise ValueFault(words % {"n": len(value), "most": MAX_TEXT})
    if "\x00" in value:
        raise ValueFault(_("holds a null character: remove it"))
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueFault(_("holds half of a character pair: send whole characters"))
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueFault(_("must be true or false, not %(value)s") % {"value": _described(value)})
    return value


_CHECKS: dict[str, Any] = {"integer": _integer, "number": _number, "text": _text, "boolean": _boolean}


def _described(value: object) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else _("an infinite number")
    if isinstance(value, str):
        return _("the text %(value)s") % {"value": shown(value)}
    return shown(value)


def _check_bounds(field: Field, value: Value) -> None:
    if not field.is_numeric or not isinstance(value, int | float):
        return
    if field.min is not None and value < field.min:
        words = _("must be at least %(least)s, not %(value)s")
        raise ValueFault(words % {"least": plain(field.min), "value": shown(value)})
    if field.max is not None and value > field.max:
        words = _("must be at most %(most)s, not %(value)s")
        raise ValueFault(words % {"most": plain(field.max), "value": shown(value)})


def _check_choice(field: Field, value: Value) -> None:
    choices = field.choices
    if choices is None or choices.open or value in choices.known:
        return
    known = [shown(choice.value) for choice in choices.values]
    told = {"known": ", ".join(known[:_SHOWN_CHOICES]), "value": shown(value)}
    n_more = len(known) - _SHOWN_CHOICES
    if n_more > 0:
        words = _("must be one of %(known)s or one of %(n)s more, not %(value)s")
        raise ValueFault(words % {**told, "n": n_more})
    raise ValueFault(_("must be one of %(known)s, not %(value)s") % told)
