"""The shape of files of rows over REST."""

from typing import Any

from rest_framework import serializers

from predictions.batch_models import PredictionBatch


class RefusedRowSerializer(serializers.Serializer[Any]):
    row = serializers.IntegerField(help_text="Counted from 1, without the header.")
    message = serializers.CharField()


class PredictionBatchSerializer(serializers.ModelSerializer):
    """A file of rows and how far it is."""

    refused = RefusedRowSerializer(many=True, help_text="The first rows that were set aside.")
    versions = serializers.ListField(child=serializers.CharField(), help_text="That answered, in order.")
    unused = serializers.ListField(
        child=serializers.CharField(),
        help_text="Columns that are no fields of the model; the result has them.",
    )
    n_rows = serializers.IntegerField(allow_null=True, help_text="null: not counted yet.")

    class Meta:
        model = PredictionBatch
        fields = (
            "id",
            "model",
            "username",
            "file_name",
            "format",
            "sha256",
            "size_bytes",
            "state",
            "is_cancel_asked",
            "n_rows",
            "n_predicted",
            "n_refused",
            "versions",
            "unused",
            "refused",
            "error",
            "delivery_error",
            "requested_at",
            "started_at",
            "ended_at",
        )


class UploadSerializer(serializers.Serializer[Any]):
    """What a form sends."""

    file = serializers.FileField(help_text="CSV or Parquet; a column for each field of the model's spec.")
