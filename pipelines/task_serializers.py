"""The shape of tasks over REST, their logs, tries, values and questions; no unknown field may come in."""

from typing import ClassVar

from rest_framework import serializers

from core.lib.rest import RowSerializer, StrictSerializer, WholeListSerializer
from pipelines.models import InputRequest, TaskInstance
from pipelines.spool import LEVELS, LONGEST_SEARCH


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
    """The first task that failed, in the order of the graph, and the last error of its log.

    Where a run failed and no task of it did, there is no task, and `reason`.
    """

    task_id = serializers.CharField(source="task.task_id", allow_null=True)
    map_index = serializers.IntegerField(source="task.map_index", allow_null=True)
    try_number = serializers.IntegerField(source="task.try_number", allow_null=True)
    reason = serializers.CharField(
        allow_blank=True, help_text="why the run failed though no task did; empty where one did"
    )
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
    before = serializers.RegexField(r"^\d{1,15}$", required=False)
    tail = serializers.IntegerField(required=False, min_value=1, max_value=1000)
    level = serializers.ChoiceField(choices=[*LEVELS], required=False, default="", allow_blank=True)
    q = serializers.CharField(required=False, default="", allow_blank=True, max_length=LONGEST_SEARCH)


class LogLineSerializer(serializers.Serializer):
    """at: null where the line tells no time."""

    at = serializers.DateTimeField(allow_null=True)
    level = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)


class LogSerializer(serializers.Serializer):
    """A page of a log; `cursor` asks for what follows."""

    lines = LogLineSerializer(many=True)
    cursor = serializers.CharField()
    start = serializers.CharField(help_text="where these lines begin: as `before`, for those further back")
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


class XComQuerySerializer(TaskQuerySerializer):
    """And after how many values."""

    cursor = serializers.RegexField(r"^\d{1,9}$", required=False, default="0")


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


class TaskLinkSerializer(serializers.Serializer):
    """One that the task's operator gives."""

    name = serializers.CharField()
    url = serializers.URLField()


class TaskRulesSerializer(serializers.Serializer):
    """How its author wrote the task, in the newest version of the pipeline."""

    trigger_rule = serializers.CharField(allow_blank=True)
    retries = serializers.IntegerField(allow_null=True)
    retry_delay_s = serializers.FloatField(allow_null=True)
    timeout_s = serializers.FloatField(allow_null=True)
    depends_on_past = serializers.BooleanField()
    owner = serializers.CharField(allow_blank=True)
    doc_md = serializers.CharField(allow_blank=True)


class TaskPlaceSerializer(serializers.Serializer):
    """Where the instance ran or will, at its latest try, and what somebody noted on it."""

    host = serializers.CharField(allow_blank=True)
    pool = serializers.CharField(allow_blank=True)
    pool_slots = serializers.IntegerField(allow_null=True)
    queue = serializers.CharField(allow_blank=True)
    executor = serializers.CharField(allow_blank=True, help_text="empty for Airflow's default")
    priority = serializers.IntegerField(allow_null=True)
    note = serializers.CharField(allow_blank=True)


class TaskAboutSerializer(serializers.Serializer):
    """What a task is."""

    rules = TaskRulesSerializer(allow_null=True, help_text="null where the pipeline has the task no more")
    place = TaskPlaceSerializer(allow_null=True, help_text="null where Airflow tells more than 1 MiB of it")
    links = TaskLinkSerializer(many=True)
    links_trouble = serializers.CharField(allow_blank=True, help_text="why there are no links")


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


class TaskXComListSerializer(serializers.Serializer):
    """A page of the values that a task left, by key."""

    results = TaskTextSerializer(many=True)
    n_all = serializers.IntegerField(help_text="how many there are on all pages")
    next = serializers.URLField(allow_null=True)


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
    defaults = serializers.ListField(
        child=serializers.CharField(), help_text="options that the task takes if nobody answers in time"
    )
    chosen = serializers.ListField(
        child=serializers.CharField(), allow_null=True, help_text="what somebody answered; null for nothing"
    )
    params_input = serializers.DictField(help_text="the values that were given with it")
    answered_by = serializers.SerializerMethodField(
        help_text="here or in Airflow itself; null for nobody, as where the task took its defaults"
    )
    outcome = serializers.CharField(
        help_text="empty while it is to come; answered, refused (`delivery_error` tells why; it may still "
        "wait for another answer), elsewhere (answered in Airflow itself), defaults (nobody answered in "
        "time, and the task took them), unawaited (or not known to be answered)"
    )

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
            "defaults",
            "is_multiple",
            "params",
            "assigned",
            "asked_at",
            "closed_at",
            "chosen",
            "params_input",
            "answered_by",
            "answered_at",
            "outcome",
            "delivery_error",
        ]

    def get_answered_by(self, row: InputRequest) -> str | None:
        """Null for nobody."""
        return row.answerer or None


class InputAnswerSerializer(StrictSerializer):
    """The answer to a question."""

    chosen = serializers.ListField(
        child=serializers.CharField(max_length=1000), allow_empty=False, max_length=100
    )
    params_input = serializers.DictField(required=False, default=dict)
