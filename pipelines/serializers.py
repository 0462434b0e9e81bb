"""The shape of pipelines, presets and assets over REST; what comes in may carry no unknown field."""

from datetime import datetime
from typing import ClassVar

from rest_framework import serializers

from core.lib.rest import RowSerializer, StrictSerializer, WholeListSerializer
from pipelines import queries
from pipelines.asset_models import Maker
from pipelines.models import MOST_SWITCHES, Asset, ImportFault, Pipeline, PipelineSource, Preset, Run


class PipelineSerializer(RowSerializer):
    """A pipeline in a list."""

    is_paused = serializers.BooleanField(source="shows_paused")
    last_state = serializers.CharField(
        read_only=True, allow_null=True, help_text="of its newest run; null before the first"
    )
    n_running = serializers.IntegerField(read_only=True, help_text="runs at work now")
    schedule = serializers.CharField(
        source="shown_schedule", read_only=True, help_text="in Airflow's words; empty for none"
    )

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
            "last_state",
            "n_running",
            "gone_at",
        ]


class AwaitedSerializer(serializers.Serializer):
    """An asset, or an alias of some, that a pipeline waits for."""

    name = serializers.CharField()
    changed_at = serializers.DateTimeField(
        allow_null=True, help_text="null where it did not change since the pipeline last began"
    )


class WaitingPartitionSerializer(serializers.Serializer):
    """A partition for which not all assets of its pipeline are there."""

    partition_key = serializers.CharField()
    n_received = serializers.IntegerField()
    n_required = serializers.IntegerField(help_text="of the partitions of all its assets")
    since = serializers.DateTimeField(allow_null=True)


class PipelineDetailSerializer(PipelineSerializer):
    """A pipeline with its parameters and graph."""

    params = serializers.DictField(help_text="name: {value, schema, description}")
    allowed_run_types = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="how its runs may come about; null: any way"
    )
    asset_expression = serializers.DictField(
        allow_null=True, help_text='which changes of assets start it: {"all" or "any": […]}, or one asset'
    )
    awaited_assets = AwaitedSerializer(many=True, help_text="what it waits for; none for another schedule")
    waiting_partitions = WaitingPartitionSerializer(
        many=True, help_text="the longest waiting first; the first 100"
    )
    tasks = serializers.ListField(
        child=serializers.DictField(),
        help_text="id, label, operator, downstream, is_mapped, groups, role, "
        "edge_labels (what is written on the way to those of downstream)",
    )
    timezone = serializers.CharField(
        source="schedule_zone",
        allow_blank=True,
        help_text="in which a schedule by clock is read; empty for others, and where Airflow does not tell",
    )
    ends_at = serializers.DateTimeField(allow_null=True, help_text="no logical date is later")
    next_runs = serializers.SerializerMethodField(help_text="five at most; none while it is paused")

    class Meta(PipelineSerializer.Meta):
        fields: ClassVar = [
            *PipelineSerializer.Meta.fields,
            "doc_md",
            "schedule_text",
            "timezone",
            "next_runs",
            "ends_at",
            "file",
            "bundle",
            "version",
            "is_partitioned",
            "allowed_run_types",
            "asset_expression",
            "awaited_assets",
            "waiting_partitions",
            "params",
            "tasks",
        ]

    def get_next_runs(self, pipeline: Pipeline) -> list[datetime]:
        """When they will be, as far as its schedule tells."""
        return queries.next_times(pipeline)


class TimedRunSerializer(serializers.Serializer):
    """How long a run took, or takes so far."""

    id = serializers.IntegerField(source="pk")
    state = serializers.CharField()
    started_at = serializers.DateTimeField()
    duration_s = serializers.SerializerMethodField()

    def get_duration_s(self, run: Run) -> float | None:
        """To now while it runs; null for one that Airflow ended without saying when."""
        return None if run.duration is None else run.duration.total_seconds()


class SlowTaskSerializer(serializers.Serializer):
    """A task of the newest runs."""

    task_id = serializers.CharField()
    mean_s = serializers.FloatField()
    longest_s = serializers.FloatField()
    n = serializers.IntegerField(help_text="how many times it succeeded")


class DurationsSerializer(serializers.Serializer):
    """How long the runs of a pipeline take."""

    median_s = serializers.FloatField(allow_null=True, help_text="of the last 50 that succeeded")
    runs = TimedRunSerializer(many=True, help_text="the newest that have begun, oldest first")
    slowest_tasks = SlowTaskSerializer(many=True, help_text="those that take most, first")


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
    aliases = serializers.ListField(child=serializers.CharField(), help_text="under which tasks made it")

    class Meta:
        model = Asset
        fields: ClassVar = ["id", "name", "uri", "group", "producers", "consumers", "aliases", "changed_at"]


class BegunSerializer(serializers.Serializer):
    """A run that took an event."""

    dag_id = serializers.CharField()
    dag_run_id = serializers.CharField()
    run_id = serializers.IntegerField(source="run.pk", default=None, allow_null=True)
    triggering = serializers.BooleanField(help_text="whether it began with this event, and not a later one")


class AssetEventSerializer(serializers.Serializer):
    """An asset changed; without a pipeline where no task made that."""

    id = serializers.IntegerField(source="row.airflow_id", help_text="Airflow's")
    at = serializers.DateTimeField(source="row.at")
    partition_key = serializers.CharField(
        source="row.partition_key",
        allow_blank=True,
        help_text="which partition of it changed; empty for none",
    )
    made_by = serializers.ChoiceField(
        Maker.choices, source="row.maker", help_text="what says that it changed"
    )
    dag_id = serializers.CharField(source="row.dag_id", allow_blank=True)
    dag_run_id = serializers.CharField(source="row.dag_run_id", allow_blank=True)
    run_id = serializers.IntegerField(source="maker.pk", default=None, allow_null=True)
    task_id = serializers.CharField(source="row.task_id", allow_blank=True)
    map_index = serializers.IntegerField(source="row.map_index")
    extra = serializers.DictField(source="row.extra")
    began = BegunSerializer(many=True)


class TakenEventSerializer(serializers.Serializer):
    """An event of an asset that a run took."""

    asset_id = serializers.IntegerField(source="asset.pk", default=None, allow_null=True)
    asset = serializers.CharField(source="asset.name", default=None, allow_null=True)
    triggering = serializers.BooleanField(help_text="whether the run began with it, and not with another")
    event = AssetEventSerializer()


class TakenEventListSerializer(WholeListSerializer):
    """Of one run, newest first; 100 at most."""

    results = TakenEventSerializer(many=True)


class SwitchesSerializer(StrictSerializer):
    """Where the switches of several pipelines should be."""

    dag_ids = serializers.ListField(
        child=serializers.CharField(max_length=250), min_length=1, max_length=MOST_SWITCHES
    )
    is_paused = serializers.BooleanField()
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="only tell of which the switch would move, and why not"
    )


class SwitchedSerializer(serializers.Serializer):
    """What became of one of them."""

    dag_id = serializers.CharField()
    error = serializers.CharField(allow_blank=True, help_text="empty when the switch was moved")


class SwitchedListSerializer(serializers.Serializer):
    """In the order asked for."""

    results = SwitchedSerializer(many=True)


class ImportFaultSerializer(RowSerializer):
    """A DAG file that Airflow cannot read; `stack_trace` is at most the last 20,000 characters."""

    class Meta:
        model = ImportFault
        fields: ClassVar = ["filename", "bundle", "stack_trace", "at"]


class PresetSerializer(serializers.ModelSerializer):
    """Settings under a name."""

    conf = serializers.DictField()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)

    class Meta:
        model = Preset
        fields: ClassVar = ["id", "dag_id", "name", "conf", "created_by", "created_at"]


class PresetListSerializer(WholeListSerializer):
    """All of a pipeline's, by name."""

    results = PresetSerializer(many=True)


class PresetRequestSerializer(StrictSerializer):
    """Settings to keep."""

    name = serializers.CharField(max_length=100)
    conf = serializers.DictField()
