"""The shape of alerts over REST, and of what people ask of them."""

from typing import ClassVar

from rest_framework import serializers

from core.access import policy
from core.alerts.forms import LONGEST_GLOB, LONGEST_NAME, LONGEST_REASON, MOST_GLOBS, MOST_PER_MINUTE
from core.alerts.models import MOST_AT_ONCE, Alert, AlertStep, Channel, Delivery
from core.alerts.queries import UNRESOLVED_WORD
from core.alerts.states import ChannelKind, DeliveryState, Severity, State
from core.lib.edge import MomentSerializerField
from core.lib.rest import StrictSerializer, WholeListSerializer


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
    unit = serializers.CharField(
        required=False,
        help_text='"share": a number in 0..1; "s": seconds; "time": a moment in ISO 8601; else as it is.',
    )
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


class AcknowledgeManySerializer(AcknowledgeSerializer):
    alert_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        allow_empty=False,
        max_length=MOST_AT_ONCE,
    )


class AlertsListSerializer(WholeListSerializer):
    """Those of several alerts that were touched."""

    results = AlertSerializer(many=True)


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


class ChannelSerializer(serializers.ModelSerializer):
    """`target`: the recipients, or the host of the webhook; paths and queries of addresses hold tokens."""

    target = serializers.CharField(read_only=True)
    n_pending = serializers.IntegerField(read_only=True)
    n_failed = serializers.IntegerField(read_only=True)
    last_at = serializers.DateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Channel
        fields: ClassVar = [
            "id",
            "name",
            "kind",
            "is_active",
            "target",
            "severity",
            "rules",
            "subjects",
            "most_per_minute",
            "created_at",
            "n_pending",
            "n_failed",
            "last_at",
        ]
        read_only_fields = fields

    rules = serializers.ListField(child=serializers.CharField(), read_only=True)
    subjects = serializers.ListField(child=serializers.CharField(), read_only=True)


class ChannelWithSecretSerializer(ChannelSerializer):
    """`secret`: what the console signs with, shown this once; empty for e-mail."""

    secret = serializers.CharField(read_only=True)

    class Meta(ChannelSerializer.Meta):
        fields: ClassVar = [*ChannelSerializer.Meta.fields, "secret"]
        read_only_fields = fields


def _globs() -> serializers.ListField:
    text = serializers.CharField(max_length=LONGEST_GLOB)
    return serializers.ListField(
        child=text, max_length=MOST_GLOBS, required=False, help_text="Globs; none fit all."
    )


class ChannelChangeSerializer(StrictSerializer):
    """`url` is a webhook's, `recipients` an e-mail channel's."""

    name = serializers.CharField(max_length=LONGEST_NAME, required=False)
    is_active = serializers.BooleanField(required=False)
    url = serializers.CharField(max_length=2000, required=False)
    recipients = serializers.ListField(
        child=serializers.CharField(max_length=254), max_length=20, required=False
    )
    severity = serializers.ChoiceField(Severity.choices, required=False, help_text="At least.")
    rules = _globs()
    subjects = _globs()
    most_per_minute = serializers.IntegerField(min_value=1, max_value=MOST_PER_MINUTE, required=False)


class NewChannelSerializer(ChannelChangeSerializer):
    name = serializers.CharField(max_length=LONGEST_NAME)
    kind = serializers.ChoiceField(ChannelKind.choices)


class DeliveryQuerySerializer(serializers.Serializer):
    state = serializers.ChoiceField(DeliveryState.values, required=False, default="")


class DeliverySerializer(serializers.ModelSerializer):
    """`tries` since it was made or sent again; `answer`: its beginning, for administrators."""

    tries = serializers.IntegerField(source="delivery_attempts", read_only=True)
    error = serializers.CharField(source="delivery_error", read_only=True)
    next_try_at = serializers.DateTimeField(source="next_attempt_at", read_only=True, allow_null=True)
    answer = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields: ClassVar = [
            "id",
            "event",
            "alert",
            "state",
            "tries",
            "status",
            "answer",
            "error",
            "took_ms",
            "gathered_in",
            "created_at",
            "tried_at",
            "next_try_at",
            "give_up_at",
            "ended_at",
        ]
        read_only_fields = fields

    def get_answer(self, row: Delivery) -> str:
        """It may quote the path that was called, and with it a token."""
        request = self.context.get("request")
        return row.answer if request is not None and policy.allows(request.user, "admin") else ""


class NothingSerializer(StrictSerializer):
    """No field."""
