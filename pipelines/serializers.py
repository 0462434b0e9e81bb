"""The shape of pipelines, runs and tasks over REST; what comes in may carry no unknown field."""

from typing import ClassVar

from rest_framework import serializers

from core.lib.edge import MomentSerializerField
from core.lib.rest import StrictSerializer
from pipelines.models import (
    LONGEST_NOTE,
    Asset,
    ImportFault,
    Pipeline,
    PipelineSource,
    Preset,
    Run,
    TaskInstance,
)

MOST_SWITCHES = 500


class PipelineSerializer(serializers.ModelSerializer):
    """A pipeline in a list."""

    is_paused = serializers.BooleanField(source="shows_paused")

    class Meta:
        model = Pipeline
        fields: ClassVar = [
            "dag_id",
            "display_name",
            "description",
            "tags",
            "owners",
            "schedule",
            "next_run_at",
            "is_paused",
            "has_import_errors",
            "gone_at",
        ]


class PipelineDetailSerializer(PipelineSerializer):
    """A pipeline with its parameters and graph."""

    params = serializers.DictField(help_text="name: {value, schema, description}")
    tasks = serializers.ListField(child=serializers.DictField(), help_text="id, label, operator, downstream")

    class Meta(PipelineSerializer.Meta):
        fields: ClassVar = [
            *PipelineSerializer.Meta.fields,
            "doc_md",
            "schedule_text",
            "file",
            "version",
            "params",
            "tasks",
        ]


class PipelineChangeSerializer(StrictSerializer):
    """What may be changed of a pipeline."""

    is_paused = serializers.BooleanField()


class PipelineSourceSerializer(serializers.ModelSerializer):
    """The file of a version; at most the first 200,000 characters."""

    versions = serializers.SerializerMethodField(help_text="all that are known")

    class Meta:
        model = PipelineSource
        fields: ClassVar = ["dag_id", "version", "versions", "text", "read_at"]

    def get_versions(self, _source: PipelineSource) -> list[int]:
        """Newest first."""
        return list(self.context["versions"])


class AssetEndSerializer(serializers.Serializer):
    """Who makes or takes an asset; a pipeline that it starts has no task."""

    dag_id = serializers.CharField()
    task_id = serializers.CharField(allow_blank=True)


class AssetSerializer(serializers.ModelSerializer):
    """What tasks make and pipelines wait for."""

    producers = AssetEndSerializer(many=True)
    consumers = AssetEndSerializer(many=True)

    class Meta:
        model = Asset
        fields: ClassVar = ["name", "uri", "group", "producers", "consumers", "changed_at"]


class SwitchesSerializer(StrictSerializer):
    """Where the switches of several pipelines should be."""

    dag_ids = serializers.ListField(
        child=serializers.CharField(max_length=250), min_length=1, max_length=MOST_SWITCHES
    )
    is_paused = serializers.BooleanField()


class SwitchedSerializer(serializers.Serializer):
    """What became of one of them."""

    dag_id = serializers.CharField()
    error = serializers.CharField(allow_blank=True, help_text="empty when the switch was moved")


class SwitchedListSerializer(serializers.Serializer):
    """In the order asked for."""

    results = SwitchedSerializer(many=True)


class ImportFaultSerializer(serializers.ModelSerializer):
    """A DAG file that Airflow cannot read; `stack_trace` is at most the last 20,000 characters."""

    class Meta:
        model = ImportFault
        fields: ClassVar = ["filename", "stack_trace", "at"]


class RunSerializer(serializers.ModelSerializer):
    """A run: Airflow's state, or ours while Airflow does not know it."""

    requested_by = serializers.CharField(source="requested_by.username", default=None, allow_null=True)
    wish = serializers.CharField(help_text="start, cancel or clear while Airflow has not confirmed it")
    conf = serializers.DictField()
    duration_s = serializers.SerializerMethodField()

    class Meta:
        model = Run
        fields: ClassVar = [
            "id",
            "dag_run_id",
            "dag_id",
            "state",
            "wish",
            "conf",
            "note",
            "requested_by",
            "run_type",
            "triggered_by",
            "logical_date",
            "run_after",
            "created_at",
            "started_at",
            "ended_at",
            "duration_s",
            "delivery_attempts",
            "delivery_error",
        ]

    def get_duration_s(self, run: Run) -> float | None:
        """Seconds from start to end, or to now."""
        return run.duration.total_seconds() if run.duration is not None else None


class RunRequestSerializer(StrictSerializer):
    """A run that somebody wants."""

    conf = serializers.DictField(required=False, default=dict)
    logical_date = serializers.DateTimeField(
        required=False, allow_null=True, default=None, help_text="what templates call ds; now unless given"
    )
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=LONGEST_NOTE)
    dag_run_id = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=250, help_text="one is made unless given"
    )
    run_after = MomentSerializerField(
        required=False, allow_null=True, default=None, help_text="Airflow keeps it queued until then"
    )


class PresetSerializer(serializers.ModelSerializer):
    """Settings under a name."""

    conf = serializers.DictField()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)

    class Meta:
        model = Preset
        fields: ClassVar = ["id", "dag_id", "name", "conf", "created_by", "created_at"]


class PresetListSerializer(serializers.Serializer):
    """All of a pipeline's, by name."""

    results = PresetSerializer(many=True)


class PresetRequestSerializer(StrictSerializer):
    """Settings to keep."""

    name = serializers.CharField(max_length=100)
    conf = serializers.DictField()


class NothingSerializer(StrictSerializer):
    """A body without fields."""


class ClearSerializer(StrictSerializer):
    """What of a run to clear."""

    only_failed = serializers.BooleanField(required=False, default=False)


class TaskInstanceSerializer(serializers.ModelSerializer):
    """A task of a run at its latest try."""

    class Meta:
        model = TaskInstance
        fields: ClassVar = [
            "task_id",
            "map_index",
            "try_number",
            "max_tries",
            "state",
            "operator",
            "started_at",
            "ended_at",
            "duration_s",
        ]


class TaskListSerializer(serializers.Serializer):
    """The tasks of a run, all of them."""

    results = TaskInstanceSerializer(many=True)


class LogQuerySerializer(StrictSerializer):
    """Which log, and from where."""

    # `try` is a word of Python's own.
    def get_fields(self) -> dict[str, serializers.Field]:
        """With the try, which defaults to the latest."""
        return {"try": serializers.IntegerField(required=False, min_value=0), **super().get_fields()}

    map_index = serializers.IntegerField(required=False, default=-1, min_value=-1)
    cursor = serializers.RegexField(r"^\d{1,15}$", required=False, default="0")


class LogLineSerializer(serializers.Serializer):
    """One line."""

    at = serializers.DateTimeField(allow_null=True)
    level = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)


class LogSerializer(serializers.Serializer):
    """A page of a log; `cursor` asks for what follows."""

    lines = LogLineSerializer(many=True)
    cursor = serializers.CharField()
    is_complete = serializers.BooleanField(help_text="true when nothing will follow the cursor")
