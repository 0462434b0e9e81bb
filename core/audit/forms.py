"""What may be asked of the audit trail, by a page's filters and by REST alike."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.lib.edge import MomentField
from core.lib.errors import InvalidRequest

NEWEST_FIRST, OLDEST_FIRST = "-at", "at"


class EntryFilters(forms.Form):
    """Filters, all optional."""

    actor = forms.CharField(label=_("Who"), max_length=150, required=False)
    action = forms.CharField(label=_("Action"), max_length=60, required=False)
    object_type = forms.CharField(label=_("Kind of object"), max_length=60, required=False)
    object = forms.CharField(label=_("Object"), max_length=200, required=False)
    request_id = forms.CharField(label=_("Request"), max_length=64, required=False)
    since = MomentField(label=_("From"))
    until = MomentField(label=_("Until"))

    def filters_or_raise(self) -> dict[str, Any]:
        """The cleaned values. Raises InvalidRequest that names every value at fault."""
        if self.is_valid():
            return self.cleaned_data
        errors = [
            {"field": name, "message": str(message)}
            for name, found in self.errors.items()
            for message in found
        ]
        raise InvalidRequest(gettext("Some filters were not understood."), errors=errors)


class Cursor(forms.Form):
    """Where in the list a page starts, and in which direction it goes."""

    cursor = forms.IntegerField(min_value=0, max_value=2**63 - 1, required=False)
    order = forms.ChoiceField(choices=[(NEWEST_FIRST, ""), (OLDEST_FIRST, "")], required=False)
    limit = forms.IntegerField(min_value=1, max_value=200, required=False)


class ObjectName(forms.Form):
    """Which object's entries are asked for."""

    type = forms.CharField(max_length=60)
    id = forms.CharField(max_length=200)
