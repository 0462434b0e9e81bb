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


class SplitSerializer(serializers.Serializer[Any]):
    """A table as pandas writes it with orient="split"."""

    columns = serializers.ListField(child=serializers.CharField())
    data = serializers.ListField(child=serializers.ListField())  # type: ignore[assignment]
    index = serializers.ListField(required=False)


class InvocationsSerializer(serializers.Serializer[Any]):
    """Exactly one of these, as MLflow's scoring server takes them; `params` is not supported."""

    dataframe_split = SplitSerializer(required=False)
    dataframe_records = serializers.ListField(child=serializers.DictField(), required=False)
    instances = serializers.JSONField(required=False, help_text="Rows, or the values of each column.")
    inputs = serializers.JSONField(required=False, help_text="Rows, or the values of each column.")


class InvokedSerializer(serializers.Serializer[Any]):
    predictions = serializers.ListField(child=serializers.JSONField())


class RequestTensorSerializer(serializers.Serializer[Any]):
    """One field of the model, a value a row; null where it is missing."""

    name = serializers.CharField()
    shape = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="[n] or [n, 1]; [n, k] for all k fields of a model of numbers.",
    )
    datatype = serializers.CharField(help_text="BOOL, INT8 to INT64, UINT8 to UINT64, FP16 to FP64, BYTES")
    data = serializers.ListField(  # type: ignore[assignment]
        child=serializers.JSONField(), required=False, help_text="Left out where the values are binary."
    )
    parameters = serializers.DictField(required=False)


class WantedSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()


class InferSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(required=False)
    inputs = RequestTensorSerializer(many=True)
    outputs = WantedSerializer(many=True, required=False)
    parameters = serializers.DictField(required=False)


class AnswerTensorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    datatype = serializers.CharField()
    shape = serializers.ListField(child=serializers.IntegerField())
    parameters = serializers.DictField()
    data = serializers.ListField(child=serializers.JSONField())  # type: ignore[assignment]


class InferredSerializer(serializers.Serializer[Any]):
    model_name = serializers.CharField()
    model_version = serializers.CharField()
    id = serializers.CharField()
    outputs = AnswerTensorSerializer(many=True)


class TensorSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    datatype = serializers.CharField()
    shape = serializers.ListField(child=serializers.IntegerField(), help_text="-1 for as many as there are.")
    parameters = serializers.DictField(required=False)


class ServerSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    version = serializers.CharField()
    extensions = serializers.ListField(child=serializers.CharField())


class ServedModelSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    versions = serializers.ListField(child=serializers.CharField(), help_text="The champion's alone.")
    platform = serializers.CharField()
    inputs = TensorSerializer(many=True)
    outputs = TensorSerializer(many=True)


class ReadySerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    ready = serializers.BooleanField()


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
