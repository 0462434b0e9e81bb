"""The shape of use cases over REST."""

from typing import ClassVar

from rest_framework import serializers

from predictions.masking import MASK
from usecases import loads
from usecases.models import Batch, Decision, LoadTest, RejectedRow


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
    """A row that could not be taken. position: its place in the batch, from 0.

    row: as it came; where the rows tell of people, masked for whoever may not see all predictions.
    """

    row = serializers.SerializerMethodField()

    def get_row(self, found: RejectedRow) -> str:
        """As whoever asks may see it."""
        return found.row if self.context["shows_rows"] else MASK

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


class LoadTestSerializer(serializers.ModelSerializer):
    """Simulated users asked a model, more of them step by step; times in ms."""

    steps = serializers.ListField(child=serializers.DictField())
    series = serializers.ListField(child=serializers.DictField())

    class Meta:
        model = LoadTest
        fields: ClassVar = [
            "id",
            "model",
            "version",
            "state",
            "users",
            "spawn_rate",
            "seconds",
            "stated_p95_ms",
            "requested_by",
            "requested_at",
            "started_at",
            "ended_at",
            "requests",
            "failures",
            "rps",
            "p50",
            "p95",
            "p99",
            "max_users_within_p95",
            "steps",
            "series",
            "error",
        ]


class NewLoadTestSerializer(serializers.Serializer):
    """How many simulated users, and how quick 95 of 100 answers are to be."""

    users = serializers.IntegerField(min_value=1, max_value=loads.MOST_USERS)
    spawn_rate = serializers.IntegerField(min_value=1, max_value=loads.MOST_USERS, default=10)
    seconds = serializers.IntegerField(min_value=loads.SHORTEST_S, max_value=loads.LONGEST_S, default=30)
    stated_p95_ms = serializers.IntegerField(min_value=1, max_value=loads.LONGEST_P95_MS, default=250)
