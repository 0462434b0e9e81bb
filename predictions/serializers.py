"""The shape of predictions over REST."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from predictions import masking
from predictions.models import Prediction


class PredictionSerializer(serializers.ModelSerializer):
    """A recorded prediction. context: the request, by whose user personal fields are masked."""

    inputs = serializers.SerializerMethodField()

    @extend_schema_field(serializers.DictField())
    def get_inputs(self, found: Prediction) -> dict[str, Any]:
        """As whoever asks may see them."""
        return masking.inputs(found, by=self.context["request"].user)

    class Meta:
        model = Prediction
        fields = (
            "id",
            "request_id",
            "at",
            "model",
            "version",
            "username",
            "source",
            "row",
            "inputs",
            "value",
            "label",
            "probabilities",
            "warnings",
            "is_answered",
            "actual",
            "actual_by",
            "actual_at",
        )


class RowsSerializer(serializers.Serializer[Any]):
    """What a predict call sends: rows of the fields that the model's spec names."""

    rows = serializers.ListField(child=serializers.DictField(), min_length=1, max_length=1000)


class GivenSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    value = serializers.JSONField()
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    probabilities = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    warnings = serializers.ListField(child=serializers.CharField())


class AnswerSerializer(serializers.Serializer[Any]):
    request_id = serializers.CharField()
    model = serializers.CharField()
    version = serializers.CharField()
    predictions = GivenSerializer(many=True)


class ExplanationSerializer(serializers.Serializer[Any]):
    base = serializers.FloatField(help_text="Mean answer over reference rows.")
    prediction = serializers.FloatField()
    contributions = serializers.DictField(
        child=serializers.FloatField(), help_text="They add up to prediction - base."
    )
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.FloatField(allow_null=True),
        allow_null=True,
        help_text="Standard errors; null where exact, and of fields when time was up after one sample.",
    )
    target = serializers.CharField(allow_null=True, help_text="The class whose probability is explained.")
    is_exact = serializers.BooleanField()
    n_reference = serializers.IntegerField(help_text="Reference rows that the means are over.")
    n_left_out = serializers.IntegerField(
        help_text="Reference rows left out: the model fails on mixtures of theirs with this row."
    )


class ExplanationsSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    version = serializers.CharField()
    explanations = ExplanationSerializer(many=True)


class FeedbackSerializer(serializers.Serializer[Any]):
    actual = serializers.JSONField(help_text="The class, or the number, that turned out to be true.")
