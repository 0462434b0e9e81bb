"""What may be asked of a list of runs, by a page's filters and by REST alike."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.utils.dateparse import parse_date
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.access.models import User
from core.lib import edge
from core.lib.errors import InvalidRequest
from core.lib.typed import WholeField
from pipelines.models import RunState
from pipelines.run_list import ORDERS, TYPES, Wanted

ME = "me"


class OneOf(forms.ChoiceField):
    """One of a few words, or none; what is another is told all of them."""

    def __init__(self, choices: list[tuple[str, Any]], nothing: str | Promise = "", **options: Any) -> None:
        box = forms.Select(attrs={"aria-label": options.get("label", "")})
        super().__init__(choices=[("", nothing), *choices], required=False, widget=box, **options)
        self.words = [word for word, _label in choices]

    def validate(self, value: str) -> None:
        """Raises ValidationError."""
        if value and value not in self.words:
            message = gettext("“%(value)s” is none of these: %(all)s.")
            raise forms.ValidationError(message % {"value": value[:100], "all": ", ".join(self.words)})


class DayField(edge.MomentField):
    """A day or a moment; a day is in the reader's zone. is_end: its end, not its begin."""

    def __init__(self, *, is_end: bool = False, **options: Any) -> None:
        box = forms.DateTimeInput(attrs={"type": "date"}, format="%Y-%m-%d")
        words = {"invalid": _("Write a date like 2026-03-01.")}
        super().__init__(widget=box, error_messages=words, **options)
        self.is_end = is_end

    def to_python(self, value: Any) -> datetime | None:
        """In UTC."""
        found = super().to_python(value)
        day = _day(value)
        if found is None or day is None or not self.is_end:
            return found
        return edge.in_utc(datetime.combine(day + timedelta(days=1), time()))


def _day(value: Any) -> Any:
    try:
        return parse_date(value.strip()) if isinstance(value, str) else None
    except ValueError:
        return None


class RunFilters(forms.Form):
    """Filters, all optional."""

    q = forms.CharField(label=_("Run, person or note"), max_length=250, required=False)
    state = OneOf(RunState.choices, _("all states"), label=_("State"))
    type = OneOf(list(TYPES.items()), _("any origin"), label=_("Origin"))
    by = forms.CharField(label=_("Asked by"), max_length=150, required=False)
    since = DayField(label=_("From"))
    until = DayField(label=_("Until"), is_end=True)
    logical_since = DayField(label=_("Logical date from"))
    logical_until = DayField(label=_("Logical date until"), is_end=True)
    backfill = WholeField(min_value=1, max_value=edge.LARGEST, required=False, label=_("Backfill"))
    unmended = OneOf([("1", _("not made good since"))], _("made good or not"), label=_("Failures"))
    order = OneOf([(f"{sign}{name}", "") for name in ORDERS for sign in ("", "-")], label=_("Order"))

    def wanted(self, user: User) -> Wanted:
        """What a list is asked for. Raises InvalidRequest that names every value at fault."""
        if not self.is_valid():
            errors = [
                {"field": name, "message": str(message)}
                for name, found in self.errors.items()
                for message in found
            ]
            raise InvalidRequest(gettext("Some filters were not understood."), errors=errors)
        given = self.cleaned_data
        return Wanted(
            text=given["q"],
            state=given["state"],
            run_type=given["type"],
            by=user if given["by"] == ME else given["by"],
            since=given["since"],
            until=given["until"],
            logical_since=given["logical_since"],
            logical_until=given["logical_until"],
            order=given["order"],
            is_unmended=bool(given["unmended"]),
            backfill_id=given["backfill"],
        )
