"""What the page of load tests asks for."""

from django import forms
from django.utils.translation import gettext_lazy as _

from core.lib.typed import WholeField
from usecases import loads


class LoadTestForm(forms.Form):
    """Bounds are shown here and checked again by the action."""

    users = WholeField(
        label=_("Users"),
        min_value=1,
        max_value=loads.MOST_USERS,
        initial=50,
        help_text=_("Each asks again as soon as it is answered. They come in five steps."),
    )
    spawn_rate = WholeField(
        label=_("Users a second"),
        min_value=1,
        max_value=loads.MOST_USERS,
        initial=10,
        help_text=_("How quickly they join."),
    )
    seconds = WholeField(
        label=_("Time"),
        min_value=loads.SHORTEST_S,
        max_value=loads.LONGEST_S,
        initial=30,
        help_text=_("All steps together."),
    )
    stated_p95_ms = WholeField(
        label=_("Stated p95"),
        min_value=1,
        max_value=loads.LONGEST_P95_MS,
        initial=250,
        help_text=_("95 of 100 answers are to come within it."),
    )
