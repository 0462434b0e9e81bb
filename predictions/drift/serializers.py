"""The shape of windows and rules over REST."""

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from rest_framework import serializers

from predictions.models import DriftRules, DriftWindow


class DriftCheckSerializer(serializers.Serializer[Any]):
    what = serializers.ChoiceField(choices=["distribution", "missing", "unseen", "out_of_range"])
    test = serializers.ChoiceField(choices=["ks", "chi_square", "fisher"])
    measure = serializers.ChoiceField(choices=["wasserstein", "psi", "share"])
    value = serializers.FloatField(help_text="The effect, in `measure`.")
    limit = serializers.FloatField(help_text="The least effect that counts.")
    p_value = serializers.FloatField()
    p_adjusted = serializers.FloatField(help_text="Corrected over all checks of the window.")
    reference = serializers.FloatField(allow_null=True, help_text="Share in the reference, of shares.")
    window = serializers.FloatField(allow_null=True, help_text="Share in the window, of shares.")
    is_drifted = serializers.BooleanField(help_text="Significant, and the effect counts.")


class DriftBinsSerializer(serializers.Serializer[Any]):
    """Both distributions over the same bins. The label "" stands for all other values."""

    labels = serializers.ListField(child=serializers.CharField(allow_blank=True))
    reference = serializers.ListField(child=serializers.FloatField())
    window = serializers.ListField(child=serializers.FloatField())


class DriftColumnSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    kind = serializers.ChoiceField(choices=["number", "discrete", "category"])
    is_score = serializers.BooleanField()
    verdict = serializers.ChoiceField(choices=["drifted", "stable", "not_enough"])
    n_present = serializers.IntegerField()
    n_reference = serializers.IntegerField(
        required=False,
        help_text="Rows of the reference, for the score those held out, if any. Older windows lack it.",
    )
    checks = DriftCheckSerializer(many=True)
    bins = DriftBinsSerializer()
    missing = serializers.FloatField()
    reference_missing = serializers.FloatField()
    psi = serializers.FloatField(allow_null=True)
    ks = serializers.FloatField(allow_null=True)
    wasserstein = serializers.FloatField(allow_null=True)
    strength = serializers.FloatField(help_text="The greatest effect against its limit: 1 is the limit.")


class DriftWindowSerializer(serializers.ModelSerializer):
    columns = DriftColumnSerializer(many=True, help_text="Drifted ones first, then by strength.")
    is_drifted = serializers.BooleanField()

    class Meta:
        model = DriftWindow
        fields: ClassVar = [
            "id",
            "model",
            "version",
            "is_demo",
            "since",
            "until",
            "n",
            "n_reference",
            "verdict",
            "is_drifted",
            "limits",
            "columns",
            "judged_at",
        ]
        read_only_fields = fields


class DriftRulesSerializer(serializers.ModelSerializer):
    class Meta:
        model = DriftRules
        fields: ClassVar = ["model", *DriftRules.EDITABLE, "changed_at", "changed_by"]
        read_only_fields: ClassVar = ["model", "changed_at", "changed_by"]

    def to_internal_value(self, data: Any) -> Any:
        """Raises ValidationError with each field that there is not."""
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(DriftRules.EDITABLE))):
            raise serializers.ValidationError({name: [_("There is no such field.")] for name in unknown})
        return super().to_internal_value(data)
