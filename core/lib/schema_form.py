"""A form drawn from descriptions of its fields, whoever wrote them: Airflow, a dataclass, a model's spec.

It draws, reads what was typed and shows what was said about it; whether a value will do is for whoever takes
it to judge. `KINDS` is all that fields can be.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from functools import partial
from typing import Any, Final, NamedTuple

from django import forms
from django.forms import BoundField
from django.forms.widgets import DateTimeBaseInput
from django.utils.translation import gettext as _

from core.lib.edge import MomentField, WallClockField
from core.lib.typed import (
    BOX,
    LINES,
    JSONText,
    LinesField,
    NumberField,
    Text,
    UnionField,
    WholeField,
    is_line,
    shown,
)

MOST_BOXES: Final = 12  # to tick; beyond it a list that scrolls
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


class Option(NamedTuple):
    """A value to choose, its words, and what the browser sends for it."""

    value: Any
    label: str
    sent: str


@dataclass(frozen=True)
class Described:
    """One field. kind: one of `KINDS`; JSON is drawn instead for a value that it cannot hold.

    name: what the browser sends the value by; any text. required: the box has to be filled.
    nullable: an empty box is None, where it could be an empty text or list; `nothing` is its word in a list.
    help_md: Markdown, shown above `help`. types: JSON's names of what a union takes.
    minimum, maximum: inclusive. seen: the usual range, which values may leave.
    suggested: for a box in which one may write anything else.
    """

    name: str
    kind: str
    label: str = ""
    help: str = ""
    help_md: str = ""
    unit: str = ""
    group: str = ""
    required: bool = True
    nullable: bool = False
    nothing: str = "–"
    default: Any = None
    options: Sequence[Option] = ()
    types: Collection[str] = ()
    suggested: Iterable[Option] = ()
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    seen: tuple[float, float] | None = None


class _Drawn(BoundField):
    """A field as templates meet it: with what its description adds."""

    form: "SchemaForm"

    @property
    def described(self) -> Described:
        return self.form.described[self.name]

    @property
    def auto_id(self) -> str:
        """An id holds no space and stands in selectors; a name may be anything."""
        is_plain = _PLAIN_NAME.fullmatch(self.name)
        return f"id_{self.name}" if is_plain else f"id--{self.name.encode().hex()}"

    @property
    def refused(self) -> str:
        """What the service said of the value that the box was filled with."""
        return self.form.refused.get(self.name, "")

    @property
    def seen(self) -> str:
        if self.described.seen is None:
            return ""
        low, high = map(shown, self.described.seen)
        return _("%(low)s to %(high)s seen") % {"low": low, "high": high}

    @property
    def warning(self) -> str:
        """What is unusual about what the box holds."""
        return self.form.warning(self.name)

    @property
    def aria_describedby(self) -> str | None:
        notes = f" {self.auto_id}_notes" if self.form.warns else ""
        return f"{super().aria_describedby or ''}{notes}".strip()

    def build_widget_attrs(self, attrs: dict[str, Any], widget: forms.Widget | None = None) -> dict[str, Any]:
        """With the list of what is suggested."""
        more = {"list": f"{self.auto_id}_list"} if self.described.suggested else {}
        return super().build_widget_attrs(attrs, widget) | more


class Boxes(forms.CheckboxSelectMultiple):
    """Boxes to tick in this design: the class is theirs, and not that of what holds them."""

    def create_option(self, *args: Any, **options: Any) -> dict[str, Any]:
        """With its own class."""
        made = super().create_option(*args, **options)
        made["attrs"]["class"] = "form-check-input"
        return made


class SchemaForm(forms.Form):
    """One field a description. values: what the boxes hold at first, by name, instead of the defaults."""

    bound_field_class = _Drawn
    warns = False  # whether `warning` may have something to say

    def __init__(
        self,
        described: Iterable[Described],
        data: Mapping[str, Any] | None = None,
        *,
        values: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(data, **options)
        self.refused: dict[str, str] = {}
        self.described = {one.name: one for one in described}
        self.filled = {name: one.default for name, one in self.described.items()} | dict(values or {})
        for name, one in self.described.items():
            self.fields[name] = _field(one, self.filled[name])

    @property
    def groups(self) -> list[tuple[str, list[BoundField]]]:
        """Fields under their titles; a single group needs none."""
        found: dict[str, list[BoundField]] = {}
        for name, one in self.described.items():
            found.setdefault(one.group, []).append(self[name])
        return [(title if len(found) > 1 else "", fields) for title, fields in found.items()]

    def read(self) -> dict[str, Any]:
        """What the boxes hold, typed, by name; without what cannot be read.

        A box that nobody changed stands for the value itself, which it may show otherwise.
        """
        if not self.is_bound:
            return {name: self.filled[name] for name in self.described}
        self.is_valid()  # reads the boxes, once
        read, changed = self.cleaned_data, self.changed_data
        names = [name for name in self.described if name in read]
        return {name: read[name] if name in changed else self.filled[name] for name in names}

    def add_fault(self, name: str, message: str) -> None:
        """At the field, which keeps what it says already; above the form when there is no such field."""
        field = name if name in self.fields else None
        if field is None or field not in self.errors:
            self.add_error(field, message)

    def warning(self, name: str) -> str:
        """What is unusual, and allowed, about the value in a box; empty for nothing."""
        return ""


Common = dict[str, Any]  # what every field takes: label, help_text, required, initial


def _field(one: Described, value: Any) -> forms.Field:
    common = {"label": one.label or one.name, "help_text": _help(one), "required": one.required}
    kind = one.kind if _holds(one, value) else "json"
    return KINDS[kind](one, {**common, "initial": value})


def _holds(one: Described, value: Any) -> bool:
    """Whether a box of its kind shows the value such that it is read as the same again; JSON holds any."""
    if value is None:
        return True
    match one.kind:
        case "lines":
            return isinstance(value, list) and all(map(is_line, value))
        case "choices":
            sent = [_sent(one.options, each) for each in value] if isinstance(value, list) else [None]
            return None not in sent and len(set(sent)) == len(sent)
        case "date" | "moment" | "wall_clock" | "time":
            return isinstance(value, str | date | time)
        case "boolean":  # a switch would be on for any text
            return isinstance(value, bool)
        case "text" | "multiline" | "path":
            return not isinstance(value, list | dict)
    return True


def _help(one: Described) -> str:
    is_bounded = one.seen is None and one.kind in {"integer", "number"}
    words = [one.help, _bounds(one.minimum, one.maximum) if is_bounded else ""]
    return " ".join(word if word.endswith((".", "?", "!")) else f"{word}." for word in words if word)


def _bounds(low: float | None, high: float | None) -> str:
    bounds = {"low": "" if low is None else shown(low), "high": "" if high is None else shown(high)}
    if low is not None and high is not None:
        return _("From %(low)s to %(high)s.") % bounds
    if low is not None:
        return _("At least %(low)s.") % bounds
    return _("At most %(high)s.") % bounds if high is not None else ""


def _exact(bound: Any) -> Any:
    """2.0 as 2."""
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def _numeric(kind: type[WholeField | NumberField]) -> Callable[[Described, Common], forms.Field]:
    def made(one: Described, common: Common) -> forms.Field:
        return kind(**common, min_value=_exact(one.minimum), max_value=_exact(one.maximum))

    return made


def _text(one: Described, common: Common, *, lines: bool = False) -> forms.Field:
    value = common["initial"]
    # An input of one line would drop the line ends that are there, and a browser tabs when one types in it.
    has_marks = isinstance(value, str) and any(mark in value for mark in "\r\n\t")
    boxed = forms.Textarea(attrs={**LINES, "class": "mono" if has_marks else ""})
    return Text(
        **common,
        widget=boxed if lines or has_marks else forms.TextInput(attrs=BOX),
        empty_value=None if one.nullable else "",
        min_length=one.min_length,
        max_length=one.max_length,
    )


def _path(one: Described, common: Common) -> forms.Field:
    box = forms.TextInput(attrs={**BOX, "class": "is-path"})
    return forms.CharField(**common, widget=box, max_length=one.max_length)


def _boolean(one: Described, common: Common) -> forms.Field:
    """A switch; a list where nothing may be said, or nothing is said yet."""
    if not one.nullable and None not in (one.default, common["initial"]):
        box = forms.CheckboxInput(attrs={"class": "is-switch", "role": "switch"})
        return forms.BooleanField(**{**common, "required": False, "widget": box})
    options = [Option(True, _("yes"), "true"), Option(False, _("no"), "false")]
    return _choice(replace(one, options=options), common)


def _choice(one: Described, common: Common) -> forms.Field:
    options = [Option(None, one.nothing, ""), *one.options] if one.nullable else one.options
    initial = _sent(options, common["initial"])
    ask = [("", _("Choose"))] if initial is None else []
    return forms.TypedChoiceField(**{**common, "initial": initial}, **_chosen(options, ask), empty_value=None)


def _choices(one: Described, common: Common) -> forms.Field:
    initial = [_sent(one.options, value) for value in common["initial"] or []]
    empty: list[Any] | None = None if one.nullable else []
    few = {"widget": Boxes()} if len(one.options) <= MOST_BOXES else {}
    field = {**common, "initial": initial, "empty_value": empty, **few, **_chosen(one.options)}
    return forms.TypedMultipleChoiceField(**field)


def _union(one: Described, common: Common) -> forms.Field:
    return UnionField(types=one.types, nothing=None if one.nullable else "", **common)


def _chosen(options: Sequence[Option], ask: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
    by_sent = {one.sent: one.value for one in options}
    return {"choices": [*ask, *((one.sent, one.label) for one in options)], "coerce": by_sent.get}


def _sent(options: Sequence[Option], value: Any) -> str | None:
    """What the browser sends for the value, 1 and "1" told apart; None for a value that is no option."""
    equal = [one for one in options if one.value == value]
    return max(equal, key=lambda one: type(one.value) is type(value)).sent if equal else None


def _dated(
    kind: type[forms.Field], widget: type[DateTimeBaseInput], input_type: str, written: str
) -> Callable[[Described, Common], forms.Field]:
    def made(one: Described, common: Common) -> forms.Field:
        box = widget(attrs={"type": input_type, "step": "1"}, format=written)
        field = kind(**common, widget=box)
        try:
            field.initial = field.to_python(field.initial)
        except forms.ValidationError:  # a browser would show an empty box for it
            return _text(one, common)
        return field

    return made


KINDS: Final[dict[str, Callable[[Described, Common], forms.Field]]] = {
    "text": _text,
    "multiline": partial(_text, lines=True),
    "path": _path,
    "integer": _numeric(WholeField),
    "number": _numeric(NumberField),
    "boolean": _boolean,
    "choice": _choice,
    "choices": _choices,
    "date": _dated(forms.DateField, forms.DateInput, "date", "%Y-%m-%d"),
    "moment": _dated(MomentField, forms.DateTimeInput, "datetime-local", "%Y-%m-%dT%H:%M:%S"),
    "wall_clock": _dated(WallClockField, forms.DateTimeInput, "datetime-local", "%Y-%m-%dT%H:%M:%S"),
    "time": _dated(forms.TimeField, forms.TimeInput, "time", "%H:%M:%S"),
    "lines": lambda one, common: LinesField(nothing=None if one.nullable else [], **common),
    "union": _union,
    "json": lambda _one, common: JSONText(**common),
}
