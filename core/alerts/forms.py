"""The shape of what comes in through pages."""

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.alerts.queries import ALL, UNRESOLVED_WORD
from core.alerts.states import Severity, State

LONGEST_REASON: Final = 1000
HOURS: Final = (
    (1, _("for an hour")),
    (8, _("for 8 hours")),
    (24, _("for a day")),
    (72, _("for 3 days")),
    (168, _("for a week")),
    (720, _("for 30 days")),
)


class Filters(forms.Form):
    """What the list leaves out. No state means the unresolved ones, which is what people come for."""

    state = forms.ChoiceField(
        choices=[(UNRESOLVED_WORD, _("unresolved")), *State.choices, (ALL, _("all"))], required=False
    )
    severity = forms.ChoiceField(choices=Severity.choices, required=False)
    rule = forms.CharField(max_length=60, required=False)
    q = forms.CharField(max_length=100, required=False, label=_("Title or subject"))

    def wanted(self) -> dict[str, str]:
        """Keywords for `queries.alerts`; a value that makes no sense counts as not given."""
        self.is_valid()
        given: dict[str, str] = self.cleaned_data
        return {
            "state": given.get("state") or UNRESOLVED_WORD,
            "severity": given.get("severity", ""),
            "rule": given.get("rule", ""),
            "words": given.get("q", ""),
        }


class ReasonForm(forms.Form):
    """A note that may be left out."""

    reason = forms.CharField(label=_("Note"), max_length=LONGEST_REASON, required=False)


class MuteForm(ReasonForm):
    """How long it keeps quiet."""

    hours = forms.TypedChoiceField(label=_("Mute"), choices=HOURS, coerce=int, initial=24)
    field_order = ("hours", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", "mute_%s")  # another form of the page has a reason too
        super().__init__(*args, **kwargs)

    @property
    def until(self) -> datetime:
        """The end, counted from now."""
        return timezone.now() + timedelta(hours=self.cleaned_data["hours"])


class ResolveForm(forms.Form):
    """Why it is over."""

    reason = forms.CharField(
        label=_("What was the matter?"),
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("It stays with the alert, for whoever meets it next."),
    )
