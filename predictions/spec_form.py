"""The predict form, drawn from a model's spec, and values in the words of a spec."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from core.lib import typed
from core.lib.schema_form import Described, Option, SchemaForm
from scoring import values
from scoring.check import CheckError, RowDecoder, Rows
from scoring.features import Featurizer
from scoring.language import Field
from scoring.spec import Spec


class PredictForm(SchemaForm):
    """One row. The decoder judges it; `given` fills the boxes."""

    warns = True

    def __init__(
        self, decoder: RowDecoder, *args: Any, given: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        self.decoder, self.spec = decoder, decoder.spec
        entity = self.spec.entity.capitalize() or _("Values")
        described = [_described(one, entity) for one in self.spec.fields]
        super().__init__(described, *args, values=given, **options)
        self._rows: Rows | None = None
        if not self.is_bound:
            self._decode()

    def clean(self) -> dict[str, Any]:
        """With all that the decoder says."""
        cleaned = super().clean() or {}
        for fault in self._decode():
            self.add_fault(fault["field"] or "", fault["message"])
        return cleaned

    def _decode(self) -> list[dict[str, Any]]:
        """What is wrong with the row."""
        try:
            self._rows = self.decoder.decode_rows([self.read()])
        except CheckError as error:
            return error.errors
        return []

    @property
    def rows(self) -> Rows | None:
        """The row as the model takes it; None while something has to be corrected."""
        return None if self.errors else self._rows

    def add_fault(self, name: str, message: str) -> None:
        """The field's own name need not stand beside its label."""
        words = message.removeprefix(f"{name} ")
        super().add_fault(name, words[:1].upper() + words[1:])

    def warning(self, name: str) -> str:
        """What the model has not seen; nothing while the box holds no value."""
        described, given = self.spec.field(name), self.read().get(name)
        try:
            value = values.normalise(described, given) if given not in (None, "") else None
        except values.ValueFault:
            return ""
        if value is None or values.warning(described, value) is None:
            return ""
        if described.seen is None:
            return _("The model has not seen this value.")
        low, high = described.seen
        bounds = {"low": typed.shown(low), "high": typed.shown(high)}
        if float(value) > high:
            return _("Outlier: more than any seen in training (%(low)s to %(high)s)") % bounds
        return _("Outlier: less than any seen in training (%(low)s to %(high)s)") % bounds

    @property
    def derived(self) -> list[tuple[str, str]]:
        """Derived columns of the row so far; nothing while the row cannot be read."""
        if self.rows is None:
            return []
        columns = Featurizer(self.spec).one(self.rows.inputs[0])
        return [(_spaced(one.name), _rounded(columns[one.name])) for one in self.spec.derived]


def from_texts(spec: Spec, texts: Mapping[str, str]) -> dict[str, Any]:
    """Values as programs write them, of the fields among them."""
    return {one.name: values.from_text(one, texts[one.name]) for one in spec.fields if one.name in texts}


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


def _described(one: Field, entity: str) -> Described:
    known = one.choices.values if one.choices is not None else []
    options = [Option(choice.value, choice.text, str(choice.value)) for choice in known]
    is_closed = one.choices is not None and not one.choices.open
    is_box = one.type == "boolean" and not one.nullable
    return Described(
        one.name,
        "choice" if is_closed else one.type,
        label=one.title,
        help=one.help,
        unit=one.unit,
        group=one.group or entity,
        required=not one.nullable,
        nullable=one.nullable,
        nothing=_("not known"),
        default=bool(one.default) if is_box else one.default,
        options=options,
        suggested=() if is_closed else options,
        minimum=one.min,
        maximum=one.max,
        seen=one.seen,
    )


def _spaced(name: str) -> str:
    """PclassFare as "pclass fare"."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).replace("_", " ").strip()


def _rounded(value: Any) -> str:
    """What was worked out, by six digits."""
    return f"{value:.6g}" if isinstance(value, float) and value == value else _plain(value)


def _plain(value: Any) -> str:
    """What somebody gave, with all its digits."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return "–" if value != value else typed.shown(value)
    return str(value)
