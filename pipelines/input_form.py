"""The form that answers a task's question: its options, and the values it asks for."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _

from pipelines.forms import PREFIX, TriggerForm
from pipelines.models import InputRequest

CHOSEN = "chosen"


class AnswerForm(TriggerForm):
    """One field a value that the task asks for, and its options."""

    def __init__(self, row: InputRequest, *args: Any, **options: Any) -> None:
        super().__init__(row.params, *args, **options)
        for name in [name for name in self.fields if not name.startswith(PREFIX)]:
            del self.fields[name], self.described[name]
        choices = [(option, option) for option in row.options]
        kind = forms.MultipleChoiceField if row.is_multiple else forms.ChoiceField
        box = forms.CheckboxSelectMultiple if row.is_multiple else forms.RadioSelect
        first = row.defaults if row.is_multiple else (row.defaults or [""])[0]
        missing = {"required": _("Choose an option.")}
        self.fields[CHOSEN] = kind(
            choices=choices, widget=box, label=_("Answer"), initial=first, error_messages=missing
        )

    def add_fault(self, name: str, message: str) -> None:
        """At the options, or where the value is asked for."""
        if name == CHOSEN:
            self.add_error(CHOSEN, message)
        else:
            super().add_fault(name, message)

    @property
    def picked(self) -> list[str]:
        """The options that the page shows as picked."""
        if self.is_bound:
            value = self.fields[CHOSEN].widget.value_from_datadict(self.data, self.files, CHOSEN)
            return value if isinstance(value, list) else [value]
        first = self.fields[CHOSEN].initial
        return first if isinstance(first, list) else [first]

    def chosen(self) -> list[str]:
        """The options, once the form is valid."""
        value = self.cleaned_data[CHOSEN]
        return value if isinstance(value, list) else [value]
