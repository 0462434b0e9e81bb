"""What a list of predictions may be filtered by, as the URL says it."""

from django import forms
from django.utils.translation import gettext_lazy as _

from predictions.models import Source


class Filters(forms.Form):
    """All optional; `before` is the place of the pager or of an export's next file."""

    model = forms.CharField(label=_("Model"), required=False, max_length=256)
    version = forms.CharField(label=_("Version"), required=False, max_length=50)
    username = forms.CharField(label=_("Person"), required=False, max_length=150)
    source = forms.ChoiceField(
        label=_("Through"), required=False, choices=[("", _("form, API or file")), *Source.choices]
    )
    only = forms.ChoiceField(
        label=_("Only"),
        required=False,
        choices=[
            ("", _("all")),
            ("warned", _("with warnings")),
            ("labelled", _("with feedback")),
            ("unanswered", _("unanswered")),
        ],
    )
    since = forms.DateField(label=_("Since"), required=False)
    before = forms.UUIDField(required=False)
