"""The shape of rules that come in through the page."""

from django import forms

from core.lib.typed import field_of
from predictions.models import DriftRules


class RulesForm(forms.ModelForm):
    """Limits of the values are the model's own."""

    class Meta:
        model = DriftRules
        fields = DriftRules.EDITABLE
        formfield_callback = field_of

    def changes(self) -> dict[str, object]:
        """Only what differs."""
        return {name: self.cleaned_data[name] for name in self.changed_data}
