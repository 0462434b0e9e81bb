"""The shape of what comes in through pages."""

from datetime import datetime, timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.alerts.models import Channel
from core.alerts.queries import ALL, UNRESOLVED_WORD
from core.alerts.states import ChannelKind, Severity, State
from core.lib.errors import ConsoleError
from core.lib.typed import WholeField

LONGEST_REASON: Final = 1000
LONGEST_NAME: Final = 100
LONGEST_GLOB: Final = 300
MOST_GLOBS: Final = 20
MOST_PER_MINUTE: Final = 100
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


class LinesField(forms.CharField):
    """Several texts, one a line."""

    def __init__(self, *, most: int, longest: int, **options: Any) -> None:
        self.most, self.longest = most, longest
        super().__init__(widget=forms.Textarea(attrs={"rows": 2}), **options)

    def prepare_value(self, value: Any) -> Any:
        """A list as lines."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """The lines, without empty ones and repeated ones."""
        return list(dict.fromkeys(line.strip() for line in (value or "").splitlines() if line.strip()))

    def validate(self, value: Any) -> None:
        """Not too many, none too long."""
        super().validate(value)
        if len(value) > self.most or any(len(line) > self.longest for line in value):
            bounds = {"n": self.most, "longest": self.longest}
            raise forms.ValidationError(
                _("Write at most %(n)d lines of at most %(longest)d characters.") % bounds
            )

    def run_validators(self, value: Any) -> None:
        """Those of a text say nothing about lines; what has no place in a row is refused all the same."""
        for line in value:
            super().run_validators(line)


class ChannelForm(forms.Form):
    """Where notifications go, and of which alerts. kind: whose fields it has.

    channel: the one that is changed. Of a webhook the form never holds its address, whose path may be a
    password: without another one `cleaned_data` has none.
    """

    name = forms.CharField(label=_("Name"), max_length=LONGEST_NAME)
    url = forms.CharField(
        label=_("Address"),
        max_length=2000,
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
        help_text=_("Each notification is posted there as JSON, with a signature."),
    )
    recipients = LinesField(
        label=_("To"), most=20, longest=254, help_text=_("Addresses of people, one a line.")
    )
    severity = forms.ChoiceField(
        label=_("Severity at least"), choices=Severity.choices, initial=Severity.WARNING
    )
    rules = LinesField(
        label=_("Rules"),
        most=MOST_GLOBS,
        longest=LONGEST_GLOB,
        required=False,
        help_text=_("One a line, such as drift or pipeline-*; every rule when empty."),
    )
    subjects = LinesField(
        label=_("Subjects"),
        most=MOST_GLOBS,
        longest=LONGEST_GLOB,
        required=False,
        help_text=_("One a line, such as titanic_*; every subject when empty."),
    )
    most_per_minute = WholeField(
        label=_("At most"),
        min_value=1,
        max_value=MOST_PER_MINUTE,
        initial=10,
        help_text=_("More of them are gathered in one."),
    )

    def __init__(self, kind: str, given: Any = None, *, channel: Channel | None = None) -> None:
        super().__init__(given, initial={**vars(channel), "url": ""} if channel else {})
        self.kind = kind
        del self.fields["recipients" if kind == ChannelKind.WEBHOOK else "url"]
        if channel and "url" in self.fields:
            self.fields["url"].required = False
            self.fields["url"].widget.attrs["placeholder"] = channel.target
            self.fields["url"].help_text = _("Left empty, the address stays: it is shown to nobody.")

    def clean(self) -> dict[str, Any]:
        """Without an empty address."""
        return {name: value for name, value in self.cleaned_data.items() if name != "url" or value}

    def refuse(self, error: ConsoleError) -> None:
        """What an action said of the values, at their fields."""
        for fault in error.errors or [{"field": "", "message": error.message}]:
            self.add_error(fault["field"] if fault["field"] in self.fields else None, fault["message"])
