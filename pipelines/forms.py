"""The form to run a pipeline, drawn from its parameters' schema."""

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.lib import json_bodies
from core.lib.edge import MomentField
from core.lib.typed import NumberField, WholeField
from pipelines import params as rules
from pipelines.models import LONGEST_NOTE

PREFIX = "conf-"
OTHER = "other"
LONG_TEXT_ROWS = 4


class JSONText(forms.JSONField):
    """JSON in a text box, kept as typed when it is wrong."""

    empty_values = (None, "")  # an empty list or object is a value

    def __init__(self, **options: Any) -> None:
        super().__init__(
            widget=forms.Textarea(attrs={"rows": LONG_TEXT_ROWS, "class": "mono", "spellcheck": "false"}),
            error_messages={"invalid": _('Write JSON, such as {"depth": [10, 20]}.')},
            **options,
        )

    def to_python(self, value: Any) -> Any:
        """Read as any JSON that comes in; what is no JSON at all gets the field's own words."""
        if value in self.empty_values or not isinstance(value, str):
            return super().to_python(value)
        try:
            return json_bodies.read(value)
        except json_bodies.NotJSON as error:
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from error
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


class TriggerForm(forms.Form):
    """One field a parameter, one for settings that the pipeline does not declare, and a note.

    `conf()` gives what to send once the form is valid.
    """

    def __init__(
        self, params: rules.Params, *args: Any, conf: Mapping[str, Any] | None = None, **options: Any
    ):
        super().__init__(*args, **options)
        self.params = params
        given = conf or {}
        for name, param in params.items():
            value = given.get(name, param.get("value"))
            self.fields[PREFIX + name] = _field(name, param, value)
        rest = {name: value for name, value in given.items() if name not in params}
        self.fields[OTHER] = JSONText(
            label=_("Other settings") if params else _("Settings"),
            required=False,
            initial=rest or None,
            help_text=_("A JSON object, for pipelines that read settings they do not declare."),
        )
        self.fields["logical_date"] = MomentField(
            label=gettext_lazy("Logical date"),
            widget=forms.DateTimeInput(
                attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"
            ),
            help_text=gettext_lazy(
                "What the pipeline's templates call ds and ts, in UTC there. Now when empty."
            ),
        )
        self.fields["note"] = forms.CharField(
            label=gettext_lazy("Note"),
            required=False,
            max_length=LONGEST_NOTE,
            widget=forms.Textarea(attrs={"rows": 2}),
            help_text=gettext_lazy("Why you run it; it stays with the run."),
        )

    def clean_other(self) -> dict[str, Any]:
        """An object, or nothing."""
        value = self.cleaned_data[OTHER]
        if value in (None, ""):
            return {}
        if not isinstance(value, dict):
            raise forms.ValidationError(_("Write a JSON object, in braces."))
        return value

    def clean(self) -> dict[str, Any]:
        """The parameters' own rules, beyond what a field's widget knows."""
        cleaned = super().clean() or {}
        for fault in rules.faults(self.params, self.conf()):
            self.add_fault(fault)
        return cleaned

    def add_fault(self, fault: Mapping[str, str]) -> None:
        """Show what an action or Airflow said about `conf.<name>` at that field."""
        name = fault["field"].removeprefix("conf.")
        own = name if name in {"note", "logical_date"} else None
        field = PREFIX + name if PREFIX + name in self.fields else own
        if field is None or field not in self.errors:
            self.add_error(field, fault["message"])

    def conf(self) -> dict[str, Any]:
        """What is to be sent: every declared parameter that has a usable value, and the others."""
        declared = {name: self._value(name) for name in self.params if PREFIX + name in self.cleaned_data}
        return {**(self.cleaned_data.get(OTHER) or {}), **declared}

    def _value(self, name: str) -> Any:
        """What was typed; the default itself where nothing was changed, though a box shows it otherwise."""
        field = PREFIX + name
        return self.cleaned_data[field] if field in self.changed_data else self.params[name].get("value")


def _field(name: str, param: Mapping[str, Any], value: Any) -> forms.Field:
    schema = param.get("schema") or {}
    is_optional = rules.allows_null(schema)
    common: dict[str, Any] = {
        "label": schema.get("title") or name,
        "help_text": _help(param),
        "required": not is_optional,
        "initial": value,
    }
    types = rules.types_of(schema) - {"null"}
    if "enum" in schema:
        return _choice(schema["enum"], common)
    if types == {"boolean"}:
        return forms.BooleanField(**{**common, "required": False})
    if types == {"integer"}:
        return WholeField(**common, **_bounds(schema))
    if types and types <= {"integer", "number"}:
        return NumberField(**common, **_bounds(schema))
    if types == {"string"}:
        return _text(schema, common)
    return JSONText(**common)


def _choice(allowed: list[Any], common: dict[str, Any]) -> forms.Field:
    """A select; values keep their JSON type through the form."""
    choices = [(json.dumps(value), "–" if value is None else str(value)) for value in allowed]
    return forms.TypedChoiceField(
        **{**common, "initial": json.dumps(common["initial"]), "required": True},
        choices=choices,
        coerce=json.loads,
    )


def _text(schema: Mapping[str, Any], common: dict[str, Any]) -> forms.Field:
    default = common["initial"]
    field = Text(
        **{**common, "required": common["required"] and default != ""},
        empty_value=None if not common["required"] else "",
        max_length=schema.get("maxLength"),
        min_length=schema.get("minLength"),
    )
    # An input of one line would drop the default's line ends, and a browser its tabs when one types in it.
    has_lines = isinstance(default, str) and any(mark in default for mark in "\r\n\t")
    if schema.get("format") == "multiline" or has_lines:
        field.widget = forms.Textarea(attrs={"rows": LONG_TEXT_ROWS, "class": "mono" if has_lines else ""})
    return field


def _bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}


def _help(param: Mapping[str, Any]) -> str:
    schema = param.get("schema") or {}
    low, high = schema.get("minimum"), schema.get("maximum")
    words = [str(param.get("description") or "")]
    if "exclusiveMinimum" in schema:
        words.append(_("More than %(low)s.") % {"low": schema["exclusiveMinimum"]})
    if low is not None and high is not None:
        words.append(_("From %(low)s to %(high)s.") % {"low": low, "high": high})
    elif low is not None:
        words.append(_("At least %(low)s.") % {"low": low})
    elif high is not None:
        words.append(_("At most %(high)s.") % {"high": high})
    return " ".join(f"{word.rstrip('.')}." for word in words if word)
