"""The predict form as the template draws it, made from a spec: fields in groups, with what was typed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from core.lib import typed as numbers
from scoring import values
from scoring.check import RowDecoder, RowsInvalid
from scoring.features import Featurizer
from scoring.language import Field
from scoring.spec import Spec


@dataclass
class FormField:
    """One input. kind: "select", "number", "text" or "check". value: what was typed, or the option's text."""

    name: str
    label: str
    kind: str
    is_optional: bool
    unit: str = ""
    help: str = ""
    seen: str = ""
    options: list[tuple[str, str, bool]] = field(default_factory=list)
    value: str = ""
    is_checked: bool = False
    step: str = "any"
    low: str = ""
    high: str = ""
    error: str = ""
    warning: str = ""

    @property
    def id(self) -> str:
        """An id holds no space and stands in selectors; a column's name may be anything."""
        is_plain = self.name.isascii() and self.name.isidentifier()
        return f"f-{self.name}" if is_plain else f"f--{self.name.encode().hex()}"


@dataclass
class PredictForm:
    """Fields by group, in the spec's order; `derived` is the line of values worked out from them."""

    groups: list[tuple[str, list[FormField]]]
    derived: list[tuple[str, str]] = field(default_factory=list)

    @property
    def fields(self) -> list[FormField]:
        return [one for _name, fields in self.groups for one in fields]

    @property
    def errors(self) -> list[FormField]:
        return [one for one in self.fields if one.error]


def build(spec: Spec, typed: Mapping[str, str], *, errors: Iterable[Mapping[str, Any]] = ()) -> PredictForm:
    """The form holding what was typed. errors: of a refused row, as `RowDecoder` gives them."""
    messages = {fault["field"]: fault["message"] for fault in errors}
    sent, unread = read(spec, typed)
    groups: dict[str, list[FormField]] = {}
    for described in spec.fields:
        drawn = _drawn(described, sent, typed.get(described.name, ""))
        said = _without_name(messages.get(described.name, ""), described)
        drawn.error = unread.get(described.name, said) if said else ""
        groups.setdefault(described.group, []).append(drawn)
    titled = [(name or spec.entity.capitalize() or _("Values"), fields) for name, fields in groups.items()]
    return PredictForm(titled, _derived(spec, sent))


def read(spec: Spec, typed: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """What was typed with its numbers as the decoder reads them, and what is wrong with those that are none.

    These are marked, so that the decoder refuses them too: it would take a point between thousands for a
    decimal one.
    """
    sent, unread = dict(typed), {}
    for described in spec.fields:
        text = typed.get(described.name, "")
        if _kind(described) != "number" or not text.strip():
            continue
        try:
            sent[described.name] = numbers.number(text)
        except numbers.NotANumber as error:
            sent[described.name] = f"? {text}"
            unread[described.name] = str(error)
    return sent, unread


def example(spec: Spec) -> dict[str, str]:
    """The spec's example as form values."""
    return as_typed(spec, {name: _as_text(value) for name, value in spec.example.items()})


def as_typed(spec: Spec, plain: Mapping[str, str]) -> dict[str, str]:
    """Values as programs write them, with numbers as the reader would type them."""
    found = {one.name for one in spec.fields if _kind(one) == "number"}
    return {name: numbers.shown(text) if name in found else text for name, text in plain.items()}


def shown_inputs(spec: Spec | None, inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Inputs by label, in the words of the spec where there is one."""
    if spec is None:
        return [(name, _plain(value)) for name, value in inputs.items()]
    return [(one.title, shown_value(one, inputs.get(one.name))) for one in spec.fields]


def shown_outcome(spec: Spec | None, value: Any) -> str:
    """A class by its label, a number with its unit."""
    if spec is None or value is None:
        return _plain(value)
    labels = {known.value: known.text for known in spec.output.labels}
    return labels.get(value) or f"{_plain(value)} {spec.output.unit}".strip()


def shown_value(described: Field, value: Any) -> str:
    """A value as people read it: the choice's label, yes or no, the number with its unit."""
    if value is None:
        return "–"
    if described.choices is not None:
        for known in described.choices.values:
            if known.value == value:
                return known.text
    return f"{_plain(value)} {described.unit}".strip()


def _drawn(described: Field, sent: Mapping[str, str], typed: str) -> FormField:
    text = sent.get(described.name, "")
    drawn = FormField(
        name=described.name,
        label=described.title,
        kind=_kind(described),
        is_optional=described.nullable,
        unit=described.unit,
        help=described.help,
        seen=_seen(described),
        value=typed,
        is_checked=values.from_text(described, text) is True if described.type == "boolean" else False,
        step="1" if described.type == "integer" else "any",
        low=_plain(described.min) if described.min is not None else "",
        high=_plain(described.max) if described.max is not None else "",
    )
    if described.choices is not None:
        drawn.options = [
            (str(known.value), known.text, str(known.value) == text) for known in described.choices.values
        ]
    drawn.warning = _warning(described, text)
    return drawn


def _kind(described: Field) -> str:
    if described.type == "boolean":
        return "check"
    if described.choices is not None:
        return "list" if described.choices.open else "select"
    return "number" if described.is_numeric else "text"


def _seen(described: Field) -> str:
    if described.seen is None:
        return ""
    low, high = (f"{bound:.4g}" for bound in described.seen)
    return _("%(low)s to %(high)s seen") % {"low": low, "high": high}


def _warning(described: Field, text: str) -> str:
    """What is unusual about the value typed so far; nothing while it is not a value yet."""
    try:
        value = values.normalise(described, values.from_text(described, text)) if text else None
    except values.ValueFault:
        return ""
    if value is None or values.warning(described, value) is None:
        return ""
    if described.seen is None:
        return _("The model has not seen this value.")
    low, high = described.seen
    bounds = {"low": f"{low:.4g}", "high": f"{high:.4g}"}
    if float(value) > high:
        return _("Outlier: more than any seen in training (%(low)s to %(high)s)") % bounds
    return _("Outlier: less than any seen in training (%(low)s to %(high)s)") % bounds


def _derived(spec: Spec, typed: Mapping[str, str]) -> list[tuple[str, str]]:
    """Derived columns of the row so far; nothing while the row cannot be read."""
    try:
        row = RowDecoder(spec).decode_form(typed).inputs[0]
    except RowsInvalid:
        return []
    columns = Featurizer(spec).one(row)
    return [(_spaced(one.name), _plain(columns[one.name])) for one in spec.derived]


def _spaced(name: str) -> str:
    """PclassFare as "pclass fare"."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).replace("_", " ").strip()


def _without_name(message: str, described: Field) -> str:
    """The field's own name need not stand beside its label."""
    return message.removeprefix(f"{described.name} ").capitalize() if message else ""


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return "–" if value != value else f"{value:.6g}"
    return str(value)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
