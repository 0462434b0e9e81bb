"""The shape of alerts over REST, and of what people ask of them."""

from typing import ClassVar

from rest_framework import serializers

from core.alerts.forms import LONGEST_REASON
from core.alerts.models import Alert, AlertStep
from core.alerts.queries import UNRESOLVED_WORD
from core.alerts.states import Severity, State
from core.lib.edge import MomentSerializerField
from core.lib.rest import StrictSerializer


class StepSerializer(serializers.ModelSerializer):
    """`by` is empty for what the console did itself."""

    class Meta:
        model = AlertStep
        fields: ClassVar = ["state", "at", "by", "reason", "until"]
        read_only_fields = fields


class FactSerializer(serializers.Serializer):
    """A number or text, and where they have one its unit and the threshold it was held against."""

    name = serializers.CharField()
    value = serializers.JSONField(required=False)
    unit = serializers.CharField(required=False)
    threshold = serializers.JSONField(required=False)


class AlertSerializer(serializers.ModelSerializer):
    facts = FactSerializer(many=True, read_only=True)

    class Meta:
        model = Alert
        fields: ClassVar = [
            "id",
            "rule",
            "subject",
            "severity",
            "state",
            "state_since",
            "handled_by",
            "muted_until",
            "title",
            "detail",
            "facts",
            "url",
            "n_findings",
            "first_found_at",
            "last_found_at",
            "is_demo",
        ]
        read_only_fields = fields


class AlertWithStepsSerializer(AlertSerializer):
    steps = StepSerializer(many=True, read_only=True)

    class Meta(AlertSerializer.Meta):
        fields: ClassVar = [*AlertSerializer.Meta.fields, "steps"]
        read_only_fields = fields


class AlertQuerySerializer(serializers.Serializer):
    """Filters of the list; empty leaves all."""

    state = serializers.ChoiceField([UNRESOLVED_WORD, *State.values], required=False, default="")
    severity = serializers.ChoiceField(Severity.values, required=False, default="")
    rule = serializers.CharField(max_length=60, required=False, default="")
    subject = serializers.CharField(max_length=300, required=False, default="")


class AcknowledgeSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=LONGEST_REASON, required=False, allow_blank=True, default="")


class MuteSerializer(AcknowledgeSerializer):
    until = MomentSerializerField(help_text="Within 90 days.")


class ResolveSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=LONGEST_REASON)


class AlertmanagerSerializer(serializers.Serializer):
    """A message of Alertmanager, version 4. Its other fields are not read."""

    alerts = serializers.ListField(child=serializers.JSONField(), help_text="Each with labels and a status.")
    truncatedAlerts = serializers.IntegerField(required=False)


class TakenSerializer(serializers.Serializer):
    """What became of the alerts of a message. n_left_out: that Alertmanager cut off itself."""

    n_opened = serializers.IntegerField()
    n_counted = serializers.IntegerField(help_text="Known already, and still there.")
    n_resolved = serializers.IntegerField()
    n_set_aside = serializers.IntegerField()
    n_left_out = serializers.IntegerField()
