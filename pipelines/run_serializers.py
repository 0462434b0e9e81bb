"""The shape of runs over REST, and of what is asked for and done to them; no unknown field may come in."""

from typing import Any, ClassVar

from django.utils.translation import gettext as _
from rest_framework import serializers

from core.lib.edge import MomentSerializerField
from core.lib.rest import RowSerializer, StrictSerializer
from pipelines import selected
from pipelines.models import LONGEST_KEY, LONGEST_NOTE, Run
from pipelines.scope import MOST_NAMED
from pipelines.states import MARKS


class RunSerializer(RowSerializer):
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
    gone_at = serializers.DateTimeField(
        allow_null=True,
        help_text="since when it is known that Airflow does not have it: deleted there, or never arrived",
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
            "gone_at",
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
    unpause = serializers.BooleanField(
        required=False, default=False, help_text="resume the pipeline as well, where it is paused"
    )


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
    past = serializers.BooleanField(
        required=False, default=False, help_text="of tasks: in the runs of earlier logical dates too"
    )
    future = serializers.BooleanField(
        required=False, default=False, help_text="of tasks: in the runs of later logical dates too"
    )
    note = serializers.CharField(
        required=False,
        default="",
        allow_blank=True,
        max_length=LONGEST_NOTE,
        help_text="written on the tasks; on the run where it is cleared whole, not where it is marked so",
    )
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
    only_new = serializers.BooleanField(
        required=False,
        default=False,
        help_text="of a whole run: tasks that the newest version has and the run has not",
    )
    prevent_running = serializers.BooleanField(
        required=False,
        default=False,
        help_text="of tasks: refuse while one is running, which is stopped otherwise",
    )
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

    dag_run_id = serializers.CharField(help_text="of another run, where `past` or `future` reach it")
    task_id = serializers.CharField()
    map_index = serializers.IntegerField()
    map_name = serializers.CharField(allow_blank=True)
    try_number = serializers.IntegerField()
    state = serializers.CharField(allow_blank=True)


class TouchedTaskListSerializer(serializers.Serializer):
    """All of them."""

    results = TouchedTaskSerializer(many=True)


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
