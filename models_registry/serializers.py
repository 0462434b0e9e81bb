"""The shape of models, versions, requests and runs over REST; what comes in may carry no unknown field."""

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.lib.rest import StrictSerializer, WholeListSerializer
from models_registry.models import (
    HASHES,
    ChampionPeriod,
    Experiment,
    GateRun,
    MlflowRun,
    ModelVersion,
    PromotionRequest,
    RegisteredModel,
    ServingTrouble,
)
from models_registry.states import LONGEST_REASON, Policy


class NothingSerializer(StrictSerializer):
    """A call that takes no values."""


class ReasonSerializer(StrictSerializer):
    """Why."""

    reason = serializers.CharField(max_length=LONGEST_REASON)


class OptionalReasonSerializer(StrictSerializer):
    """Why, if one wants to say so."""

    reason = serializers.CharField(max_length=LONGEST_REASON, required=False, allow_blank=True, default="")


class RollbackSerializer(ReasonSerializer):
    """Back to the champion before, and why.

    A call that names no version goes back from a promotion only, so that it can be sent twice.
    """

    expected = serializers.IntegerField(
        min_value=1,
        required=False,
        help_text="the version that is taken to be champion now; 409 when it is not",
    )
    to = serializers.IntegerField(
        min_value=1,
        required=False,
        help_text="the version that is to come back; 409 when it would be another",
    )


class PolicySerializer(StrictSerializer):
    """Who approves promotions of a model."""

    policy = serializers.ChoiceField(choices=Policy.choices)


class ExperimentSerializer(serializers.ModelSerializer):
    n_runs = serializers.IntegerField()
    last_run_at = serializers.DateTimeField(allow_null=True)

    class Meta:
        model = Experiment
        fields: ClassVar = ["experiment_id", "name", "created_at", "n_runs", "last_run_at"]


class MlflowRunSerializer(serializers.ModelSerializer):
    """A run with its latest metrics; one that is no finite number is text."""

    params = serializers.DictField(child=serializers.CharField())
    metrics = serializers.DictField(help_text="name: number, or text for NaN and infinities")
    tags = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = MlflowRun
        fields: ClassVar = [
            "run_id",
            "experiment_id",
            "name",
            "status",
            "user",
            "started_at",
            "ended_at",
            "params",
            "metrics",
            "tags",
            "dag_run_id",
            "gone_at",
        ]


class PointSerializer(serializers.Serializer):
    step = serializers.IntegerField()
    value = serializers.FloatField()
    at = serializers.DateTimeField(allow_null=True)


class PointsSerializer(WholeListSerializer):
    """The history of a metric."""

    key = serializers.CharField()
    is_sample = serializers.BooleanField(
        help_text="true when there are more than 2,000: these lie evenly among them, first and last included"
    )
    n_not_finite = serializers.IntegerField(help_text="values among these that are NaN or infinity: left out")
    results = PointSerializer(many=True)


class FileSerializer(serializers.Serializer):
    path = serializers.CharField()
    is_dir = serializers.BooleanField()
    size_bytes = serializers.IntegerField(allow_null=True)


class FilesSerializer(serializers.Serializer):
    """Files and folders in one folder, folders first, by name."""

    results = FileSerializer(many=True)
    next = serializers.URLField(allow_null=True)


class CheckSerializer(serializers.Serializer):
    """One check of the gate."""

    name = serializers.CharField()
    verdict = serializers.ChoiceField(choices=["passed", "failed", "look", "skipped"])
    sentence = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    threshold = serializers.FloatField(allow_null=True)
    interval = serializers.ListField(child=serializers.FloatField(), allow_null=True)


class GateSerializer(serializers.ModelSerializer):
    checks = CheckSerializer(many=True)
    requested_by = serializers.CharField(source="requested_by.username")
    metrics = serializers.DictField(help_text="candidate, baseline and champion on the same hold-out")

    class Meta:
        model = GateRun
        fields: ClassVar = [
            "id",
            "state",
            "checks",
            "is_conclusive",
            "reason",
            "champion_version",
            "holdout_rows",
            *HASHES,
            "metrics",
            "isolation",
            "seconds",
            "requested_by",
            "requested_at",
            "ended_at",
            "delivery_error",
        ]


class VersionSerializer(serializers.ModelSerializer):
    """A version in a list. `version` is text, as in MLflow."""

    model = serializers.CharField(source="model.name")
    version = serializers.CharField()
    missing_artefacts = serializers.ListField(child=serializers.CharField())
    metrics = serializers.DictField(help_text="on the frozen hold-out, as scored by the gate")

    class Meta:
        model = ModelVersion
        fields: ClassVar = [
            "model",
            "version",
            "state",
            "is_overridden",
            "override_reason",
            "is_conclusive",
            "is_demo",
            "archived_at",
            "archive_reason",
            "run_id",
            "dag_run_id",
            "git_sha",
            "data_sha256",
            "data_source",
            "holdout_sha256",
            "reference_sha256",
            "missing_artefacts",
            "primary_metric",
            "metrics",
            "serve_as",
            "serve_reason",
            "served_sha256",
            "size_bytes",
            "registered_at",
            "registered_by",
            "gone_at",
        ]


class TroubleSerializer(serializers.ModelSerializer):
    """Why serving refuses the champion, and the version that answers meanwhile; null where none does."""

    answers = serializers.CharField(allow_null=True)

    class Meta:
        model = ServingTrouble
        fields: ClassVar = ["reason", "answers", "since", "last_seen_at"]


class VersionDetailSerializer(VersionSerializer):
    """A version with its newest gate."""

    gate = GateSerializer(allow_null=True)
    not_served = TroubleSerializer(source="trouble", allow_null=True)

    class Meta(VersionSerializer.Meta):
        fields: ClassVar = [*VersionSerializer.Meta.fields, "not_served", "gate"]


class ModelSerializer(serializers.ModelSerializer):
    """A registered model; `champion` is the version that the ledger names."""

    champion = serializers.SerializerMethodField()
    newest_version = serializers.SerializerMethodField()
    not_served = serializers.SerializerMethodField()

    class Meta:
        model = RegisteredModel
        fields: ClassVar = [
            "name",
            "description",
            "policy",
            "champion",
            "not_served",
            "newest_version",
            "alias_version",
        ]

    def get_champion(self, row: RegisteredModel) -> str | None:
        """The champion's version."""
        return next((str(period.version.version) for period in row.periods_now), None)  # type: ignore[attr-defined]

    @extend_schema_field(TroubleSerializer(allow_null=True))
    def get_not_served(self, row: RegisteredModel) -> dict[str, Any] | None:
        """Null while what the ledger names is what answers."""
        trouble = next((period.version.trouble for period in row.periods_now), None)  # type: ignore[attr-defined]
        return dict(TroubleSerializer(trouble).data) if trouble else None

    def get_newest_version(self, row: RegisteredModel) -> str | None:
        """Of those that are neither archived nor gone; None where all are."""
        return next((str(version.version) for version in row.newest), None)  # type: ignore[attr-defined]


class PeriodSerializer(serializers.ModelSerializer):
    """One line of the ledger. Where nobody decided, `decided_by` is "policy: automatic" or "the console"."""

    model = serializers.CharField(source="model.name")
    version = serializers.CharField(source="version.version")
    decided_by = serializers.SerializerMethodField()
    request = serializers.IntegerField(source="request_id", allow_null=True)
    requested_by = serializers.CharField(
        source="request.requested_by.username", allow_null=True, default=None, help_text="who asked for it"
    )

    class Meta:
        model = ChampionPeriod
        fields: ClassVar = [
            "model",
            "version",
            "kind",
            "since",
            "until",
            "decided_by",
            "reason",
            "end_reason",
            "request",
            "requested_by",
            *HASHES,
        ]

    def get_decided_by(self, row: ChampionPeriod) -> str:
        """Who decided."""
        return row.decided_by


class PromotionSerializer(serializers.ModelSerializer):
    model = serializers.CharField(source="version.model.name")
    version = serializers.CharField(source="version.version")
    requested_by = serializers.CharField(source="requested_by.username")
    decided_by = serializers.CharField(source="decided_by.username", allow_null=True, default=None)

    class Meta:
        model = PromotionRequest
        fields: ClassVar = [
            "id",
            "model",
            "version",
            "state",
            "reason",
            "requested_by",
            "requested_at",
            "expires_at",
            *HASHES,
            "decided_by",
            "is_by_policy",
            "decided_at",
            "decision_reason",
            "delivered_at",
        ]
