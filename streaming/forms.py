"""The shape of what comes in through pages."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.lib import json_bodies, paths
from core.lib.topics import TOPIC_NAME
from core.lib.typed import NumberField
from streaming import definition as definitions
from streaming import replay_files
from streaming.models import STREAM_NAME, Times


class DefinitionField(forms.CharField):
    """A definition as JSON text; its value is the checked dict."""

    widget = forms.Textarea(
        attrs={"rows": 24, "class": "form-control mono definition-text", "spellcheck": "false"}
    )

    def clean(self, value: Any) -> Any:
        """Every fault is an error of the field."""
        text = super().clean(value)
        try:
            plain = json_bodies.read(text)
        except json_bodies.Unreadable as error:
            raise forms.ValidationError(str(error)) from error
        if words := json_bodies.fault(plain):
            raise forms.ValidationError(words)
        try:
            definitions.parse(plain)
        except definitions.DefinitionError as error:
            raise forms.ValidationError([fault[:500] for fault in error.faults[:20]]) from error
        return plain


class ChangeForm(forms.Form):
    """What of a stream can change."""

    description = forms.CharField(label=gettext_lazy("Description"), max_length=1000, required=False)
    definition = DefinitionField(
        label=gettext_lazy("Definition"),
        max_length=200_000,
        help_text=gettext_lazy(
            "JSON: fields, event_time_field, measures (sum, mean, min, max or count of a field), group_by, "
            "window_s, lateness_s. Windows of another shape begin anew. An anomaly_rule is optional: "
            "its kind (threshold, model or robust_z), the field, and limit, or model and k, or k and n."
        ),
    )


class StreamForm(ChangeForm):
    """A new stream."""

    name = forms.RegexField(
        rf"\A{STREAM_NAME}\Z",
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("Small letters, digits, dashes and underscores; a letter first."),
    )
    topic = forms.RegexField(
        rf"\A{TOPIC_NAME}\Z",
        label=gettext_lazy("Topic"),
        help_text=gettext_lazy("It is created if Kafka has none of this name."),
    )
    field_order = ("name", "topic", "description", "definition")


class ReplayForm(forms.Form):
    """A file, and how quickly it is sent."""

    source = forms.ChoiceField(label=gettext_lazy("File"))
    rate = NumberField(
        label=gettext_lazy("Rate"),
        required=False,
        min_value=0.01,
        max_value=100_000,
        help_text=gettext_lazy("Events a second. Leave it empty to give a speed."),
    )
    speed = NumberField(
        label=gettext_lazy("Speed"),
        required=False,
        min_value=0.01,
        max_value=1_000_000,
        help_text=gettext_lazy("1 is as it happened, 60 a minute in a second."),
    )
    times = forms.ChoiceField(
        label=gettext_lazy("Event times"),
        choices=Times.choices,
        initial=Times.AUTO,
        help_text=gettext_lazy("Events more than five minutes ahead of the clock become dead letters."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = paths.offered(replay_files.ENDINGS)
        self.fields["source"] = forms.ChoiceField(
            label=gettext_lazy("File"), choices=[(name, name) for name in names]
        )
        self.has_files = bool(names)

    def clean(self) -> dict[str, Any]:
        """One pace, not two."""
        values = super().clean() or {}
        has_one = (values.get("rate") is None) != (values.get("speed") is None)
        if not has_one and not self.errors:
            self.add_error("rate", _("Give a rate, or a speed: one of them."))
        return values
