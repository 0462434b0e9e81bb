"""The form that an application's parameters draw."""

from collections.abc import Iterator, Mapping
from typing import Any

from django import forms
from django.forms import BoundField
from django.utils.translation import gettext as _

from core.lib.typed import NumberField, WholeField
from jobs import applications
from jobs.applications import Application, Parameter


class JobForm(forms.Form):
    """A field for each parameter; `params()` is what was typed, in the parameters' types.

    Rules beyond those of a field's widget are the application's: `actions.submit_job` checks them, and
    `add_fault` shows what it says.
    """

    def __init__(
        self, application: Application, *args: Any, params: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.application = application
        given = params or {}
        for parameter in application.parameters:
            value = given.get(parameter.name, parameter.default)
            self.fields[parameter.name] = _field(parameter, value)

    def params(self) -> dict[str, Any]:
        """Values by name, without those left empty."""
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}

    def add_fault(self, fault: Mapping[str, str]) -> None:
        """Show what was said about `params.<name>` at that field."""
        name = fault["field"].removeprefix("params.")
        self.add_error(name if name in self.fields else None, fault["message"])

    def rows(self) -> Iterator[tuple[BoundField, list[str]]]:
        """Each field, with what a browser may suggest for it."""
        for parameter in self.application.parameters:
            suggested = applications.suggestions(parameter) if parameter.kind == "path" else []
            yield self[parameter.name], suggested


def _field(parameter: Parameter, value: Any) -> forms.Field:
    common: dict[str, Any] = {
        "label": parameter.label,
        "help_text": _help(parameter),
        "required": parameter.required,
        "initial": value,
    }
    if parameter.kind == "boolean":
        return forms.BooleanField(**{**common, "required": False})
    if parameter.kind == "choice":
        return _choice(parameter, common)
    bounds: dict[str, Any] = {"min_value": parameter.minimum, "max_value": parameter.maximum}
    if parameter.kind == "integer":
        return WholeField(**common, **bounds)
    if parameter.kind == "number":
        return NumberField(**common, **bounds)
    attrs = {"list": f"{parameter.name}-suggestions", "autocomplete": "off", "class": "is-path"}
    widget = forms.TextInput(attrs if parameter.kind == "path" else {})
    return forms.CharField(**common, max_length=applications.LONGEST_TEXT, widget=widget)


def _choice(parameter: Parameter, common: dict[str, Any]) -> forms.Field:
    """A select; values keep their type through the form."""
    values = {str(value): value for value in parameter.choices}
    choices = [(text, text) for text in values]
    if not parameter.required and parameter.default is None:
        choices.insert(0, ("", "–"))
    return forms.TypedChoiceField(
        **{**common, "initial": str(common["initial"] or "")},
        choices=choices,
        coerce=values.__getitem__,
        empty_value=None,
    )


def _help(parameter: Parameter) -> str:
    low, high = parameter.minimum, parameter.maximum
    words = [parameter.help]
    if low is not None and high is not None:
        words.append(_("From %(low)s to %(high)s.") % {"low": low, "high": high})
    if parameter.kind == "path":
        words.append(_("A path in the data folder, or a whole one in the output folder."))
    return " ".join(filter(None, words))
