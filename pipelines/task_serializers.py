"""The shape of tasks over REST, their logs, tries, values and questions; no unknown field may come in."""

from typing import ClassVar

from rest_framework import serializers

from core.lib.rest import RowSerializer, StrictSerializer, WholeListSerializer
from pipelines.models import InputRequest, TaskInstance


class TaskInstanceSerializer(RowSerializer):
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
    """at: null where the line tells no time."""

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
    """Times are null before the try has come so far."""

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


class InputRequestSerializer(RowSerializer):
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
