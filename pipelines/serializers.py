"""The shape of pipelines, runs and tasks over REST; what comes in may carry no unknown field."""

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from rest_framework import serializers

from core.lib.edge import MomentSerializerField
from core.lib.rest import StrictSerializer, WholeListSerializer
from pipelines import selected
from pipelines.models import (
    LONGEST_KEY,
    LONGEST_NOTE,
    MOST_SWITCHES,
    Asset,
    ImportFault,
    InputRequest,
    Pipeline,
    PipelineSource,
    Preset,
    Run,
    TaskInstance,
)
from pipelines.scope import MOST_NAMED
from pipelines.states import MARKS


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
    allowed_run_types = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="how its runs may come about; null: any way"
    )
    tasks = serializers.ListField(
        child=serializers.DictField(), help_text="id, label, operator, downstream, groups"
    )

    class Meta(PipelineSerializer.Meta):
        fields: ClassVar = [
            *PipelineSerializer.Meta.fields,
            "doc_md",
            "schedule_text",
            "file",
            "version",
            "is_partitioned",
            "allowed_run_types",
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
        fields: ClassVar = ["id", "name", "uri", "group", "producers", "consumers", "changed_at"]


class BegunSerializer(serializers.Serializer):
    """A run that took an event."""

    dag_id = serializers.CharField()
    dag_run_id = serializers.CharField()
    run_id = serializers.IntegerField(source="run.pk", default=None, allow_null=True)
    triggering = serializers.BooleanField(help_text="whether it began with this event, and not a later one")


class AssetEventSerializer(serializers.Serializer):
    """An asset changed; without a pipeline where somebody said so over REST."""

    id = serializers.IntegerField(source="row.airflow_id", help_text="Airflow's")
    at = serializers.DateTimeField(source="row.at")
    dag_id = serializers.CharField(source="row.dag_id", allow_blank=True)
    dag_run_id = serializers.CharField(source="row.dag_run_id", allow_blank=True)
    run_id = serializers.IntegerField(source="maker.pk", default=None, allow_null=True)
    task_id = serializers.CharField(source="row.task_id", allow_blank=True)
    map_index = serializers.IntegerField(source="row.map_index")
    extra = serializers.DictField(source="row.extra")
    began = BegunSerializer(many=True)


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
        fields: ClassVar = ["filename", "bundle", "stack_trace", "at"]


class RunSerializer(serializers.ModelSerializer):
    """A run: Airflow's state, or ours while Airflow does not know it."""

    requested_by = serializers.CharField(source="requested_by.username", default=None, allow_null=True)
    wish = serializers.CharField(
        help_text="start, cancel, clear, succeed, fail or mark (a task) while Airflow has not confirmed it"
    )
    conf = serializers.DictField()
    duration_s = serializers.SerializerMethodField()
    versions = serializers.ListField(
        child=serializers.IntegerField(), help_text="of the pipeline's code that its tasks ran"
    )
    backfill_id = serializers.IntegerField(allow_null=True, help_text="the backfill that made it")

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
            "data_interval_start",
            "data_interval_end",
            "partition_key",
            "created_at",
            "started_at",
            "ended_at",
            "duration_s",
            "versions",
            "backfill_id",
            "delivery_attempts",
            "delivery_error",
        ]

    def get_duration_s(self, run: Run) -> float | None:
        """Seconds from start to end, or to now."""
        return run.duration.total_seconds() if run.duration is not None else None


class RunRequestSerializer(StrictSerializer):
    """A run that somebody wants."""

    conf = serializers.DictField(required=False, default=dict)
    logical_date = MomentSerializerField(
        required=False, allow_null=True, default=None, help_text="what templates call ds; now unless given"
    )
    note = serializers.CharField(required=False, default="", allow_blank=True, max_length=LONGEST_NOTE)
    dag_run_id = serializers.CharField(
        required=False, default="", allow_blank=True, max_length=250, help_text="one is made unless given"
    )
    run_after = MomentSerializerField(
        required=False, allow_null=True, default=None, help_text="Airflow keeps it queued until then"
    )
    data_interval_start = MomentSerializerField(
        required=False,
        allow_null=True,
        default=None,
        help_text="as the schedule has it unless both are given",
    )
    data_interval_end = MomentSerializerField(required=False, allow_null=True, default=None)
    partition_key = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=LONGEST_KEY,
        help_text="of a pipeline whose schedule goes by partitions",
    )


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


class NothingSerializer(StrictSerializer):
    """A body without fields."""


class RunChangeSerializer(StrictSerializer):
    """What may be changed of a run."""

    note = serializers.CharField(allow_blank=True, max_length=LONGEST_NOTE)


class MapIndexField(serializers.IntegerField):
    """Which instance of a mapped task; none given: all of them."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            allow_null=True,
            default=None,
            min_value=-1,
            max_value=2**31 - 1,
            help_text="one instance of a mapped task; all when left out",
        )


class NamedTaskSerializer(StrictSerializer):
    """One of several tasks."""

    task_id = serializers.CharField(max_length=250)
    map_index = MapIndexField()


class ScopeSerializer(StrictSerializer):
    """Which tasks of a run: one, several or a group; without them all."""

    task_id = serializers.CharField(required=False, default="", allow_blank=True, max_length=250)
    map_index = MapIndexField()
    tasks = NamedTaskSerializer(  # type: ignore[call-arg]  # `max_length` is the list's, which the stubs miss
        many=True, required=False, allow_empty=False, max_length=MOST_NAMED, help_text="several tasks"
    )
    group = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=250,
        help_text="a task group: all tasks in it",
    )
    upstream = serializers.BooleanField(required=False, default=False, help_text="with the tasks before it")
    downstream = serializers.BooleanField(required=False, default=False, help_text="with the tasks after it")
    dry_run = serializers.BooleanField(required=False, default=False, help_text="only tell which tasks")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The tasks as a `Scope` has them."""
        if sum(bool(attrs.get(name)) for name in ("task_id", "tasks", "group")) > 1:
            message = _("Give a task, several, or a group: one of the three.")
            raise serializers.ValidationError({"task_id": message})
        if attrs.get("map_index") is not None and not attrs.get("task_id"):
            raise serializers.ValidationError({"map_index": _("Name the task that it is of.")})
        return {**attrs, "tasks": [(one["task_id"], one["map_index"]) for one in attrs.get("tasks", [])]}


class ClearSerializer(ScopeSerializer):
    """What of a run to clear."""

    only_failed = serializers.BooleanField(required=False, default=False)
    run_on_latest_version = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="whether tasks run the newest version of the code; as Airflow is set when left out",
    )


class MarkSerializer(ScopeSerializer):
    """What of a run to mark, and as what; a run itself cannot be skipped."""

    state = serializers.ChoiceField(choices=MARKS)


class TouchedTaskSerializer(serializers.Serializer):
    """A task that would be cleared or marked, as it is now."""

    task_id = serializers.CharField()
    map_index = serializers.IntegerField()
    map_name = serializers.CharField(allow_blank=True)
    try_number = serializers.IntegerField()
    state = serializers.CharField(allow_blank=True)


class TouchedTaskListSerializer(serializers.Serializer):
    """All of them."""

    results = TouchedTaskSerializer(many=True)


class TaskInstanceSerializer(serializers.ModelSerializer):
    """A task of a run at its latest try."""

    class Meta:
        model = TaskInstance
        fields: ClassVar = [
            "task_id",
            "map_index",
            "map_name",
            "try_number",
            "max_tries",
            "state",
            "operator",
            "started_at",
            "ended_at",
            "duration_s",
        ]


class FailureSerializer(serializers.Serializer):
    """The first task that failed, in the order of the graph, and the last error of its log."""

    task_id = serializers.CharField(source="task.task_id")
    map_index = serializers.IntegerField(source="task.map_index")
    try_number = serializers.IntegerField(source="task.try_number")
    n_others = serializers.IntegerField(help_text="how many more tasks failed")
    error = serializers.CharField(
        allow_blank=True, help_text="empty while the log is on its way, and where it holds no error"
    )
    trouble = serializers.CharField(allow_blank=True, help_text="why there is no log")
    is_read = serializers.BooleanField(help_text="whether the end of the log is here")
    is_final = serializers.BooleanField(help_text="whether all this stays as it is; else ask again")
    after = serializers.ListField(
        child=serializers.CharField(),
        help_text="tasks after it that did not run; of a mapped one with how many of its instances",
    )


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
    has_end = serializers.BooleanField(
        help_text="true when the try has ended and these are its last lines, but for what callbacks may add"
    )
    is_complete = serializers.BooleanField(
        help_text="true when nothing will follow the cursor; a minute or two after the try has ended"
    )
    n_missing_lines = serializers.IntegerField(
        help_text="of a very long log: how many lines at its start are not kept; Airflow has them"
    )


class TaskQuerySerializer(StrictSerializer):
    """Which instance of a task."""

    map_index = serializers.IntegerField(required=False, default=-1, min_value=-1, max_value=2**31 - 1)


class TaskTrySerializer(serializers.Serializer):
    """One try of a task."""

    try_number = serializers.IntegerField()
    state = serializers.CharField(allow_blank=True)
    queued_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    duration_s = serializers.FloatField(allow_null=True)
    host = serializers.CharField(allow_blank=True)
    pool = serializers.CharField(allow_blank=True)


class TaskTryListSerializer(WholeListSerializer):
    """All of them, oldest first."""

    results = TaskTrySerializer(many=True)


class TaskTextSerializer(serializers.Serializer):
    """A value that a task left or was given, in words."""

    name = serializers.CharField()
    words = serializers.CharField(allow_blank=True)
    n_cut = serializers.IntegerField(help_text="characters that are left out at its end")
    is_too_large = serializers.BooleanField(help_text="above 1 MiB: it was not read")
    trouble = serializers.CharField(help_text="why it could not be read; empty when it was")


class TaskTextListSerializer(WholeListSerializer):
    """By name."""

    results = TaskTextSerializer(many=True)


class InputRequestSerializer(serializers.ModelSerializer):
    """A question that a task asks people."""

    run_id = serializers.IntegerField()
    dag_id = serializers.CharField(source="run.dag_id")
    state = serializers.CharField(help_text="waiting, delivering (answered here, on its way) or closed")
    params = serializers.DictField(help_text="name: {value, schema, description} of the values it asks for")
    options = serializers.ListField(child=serializers.CharField())
    assigned = serializers.ListField(
        child=serializers.CharField(), help_text="whom alone the task asks, as Airflow names them"
    )
    answered_by = serializers.CharField(source="answered_by.username", default=None, allow_null=True)

    class Meta:
        model = InputRequest
        fields: ClassVar = [
            "id",
            "run_id",
            "dag_id",
            "task_id",
            "map_index",
            "map_name",
            "state",
            "subject",
            "body",
            "options",
            "is_multiple",
            "params",
            "assigned",
            "asked_at",
            "closed_at",
            "answered_by",
            "delivery_error",
        ]


class InputAnswerSerializer(StrictSerializer):
    """The answer to a question."""

    chosen = serializers.ListField(
        child=serializers.CharField(max_length=1000), allow_empty=False, max_length=100
    )
    params_input = serializers.DictField(required=False, default=dict)


class SelectedSerializer(StrictSerializer):
    """One thing to do to several runs."""

    what = serializers.ChoiceField(choices=selected.ALL)
    run_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        allow_empty=False,
        max_length=selected.MOST,
    )
    dry_run = serializers.BooleanField(required=False, default=False, help_text="only tell what would happen")


class SelectedItemSerializer(serializers.Serializer):
    """What becomes of one run."""

    run = RunSerializer()
    words = serializers.CharField(allow_blank=True, help_text="what would happen, in a dry run")
    refused = serializers.CharField(
        allow_blank=True, help_text="why nothing happens; empty when something does"
    )


class SelectedListSerializer(serializers.Serializer):
    """Of each run; numbers of no run are passed over."""

    results = SelectedItemSerializer(many=True)
