"""The shape of use cases over REST."""

from typing import ClassVar

from rest_framework import serializers

from usecases.models import Batch, Decision, RejectedRow


class UseCaseSerializer(serializers.Serializer):
    """A use case, and the names of its parts elsewhere."""

    name = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    pipelines = serializers.ListField(child=serializers.CharField())
    model = serializers.CharField(allow_blank=True)
    streams = serializers.ListField(child=serializers.CharField())
    applications = serializers.ListField(child=serializers.CharField())
    entity = serializers.CharField(allow_blank=True, help_text="Of its rows in the feature store")


class UseCaseListSerializer(serializers.Serializer):
    """All use cases, in one page."""

    results = UseCaseSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class BatchSerializer(serializers.ModelSerializer):
    """What came in at once. rows_in = rows_new + rows_duplicate + rows_rejected."""

    facts = serializers.DictField()

    class Meta:
        model = Batch
        fields: ClassVar = [
            "id",
            "key",
            "data_source",
            "origin",
            "data_sha256",
            "dag_id",
            "dag_run_id",
            "at",
            "rows_in",
            "rows_new",
            "rows_duplicate",
            "rows_rejected",
            "facts",
        ]


class RejectedRowSerializer(serializers.ModelSerializer):
    """A row that could not be taken. position: its place in the batch, from 0."""

    class Meta:
        model = RejectedRow
        fields: ClassVar = ["position", "reason", "row"]


class DecisionSerializer(serializers.ModelSerializer):
    """Whether a run trained, or promoted what it trained, and why."""

    criteria = serializers.ListField(child=serializers.DictField())
    metrics = serializers.DictField()
    shap = serializers.DictField()

    class Meta:
        model = Decision
        fields: ClassVar = [
            "id",
            "kind",
            "is_yes",
            "reason",
            "criteria",
            "model",
            "version",
            "champion_version",
            "metrics",
            "shap",
            "dag_id",
            "dag_run_id",
            "at",
        ]


class FeaturesSerializer(serializers.Serializer):
    """A row of the feature store."""

    entity = serializers.CharField()
    id = serializers.CharField()
    version = serializers.CharField()
    event_at = serializers.DateTimeField(help_text="When the values were so")
    expires_at = serializers.DateTimeField()
    values = serializers.DictField(help_text="A number, a text, a boolean or null by each name of the schema")
