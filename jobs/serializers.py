"""The shape of jobs over REST; what comes in may carry no unknown field."""

from typing import Any, ClassVar

from rest_framework import serializers

from core.lib.rest import StrictSerializer, WholeListSerializer
from jobs.models import Job, JobSchedule


class JobSerializer(serializers.ModelSerializer):
    """A job. Stages and tasks are as its driver told them last."""

    params = serializers.DictField()
    result = serializers.DictField(allow_null=True, help_text="What the application wrote in the end")
    progress = serializers.DictField(
        allow_null=True, read_only=True, help_text="Of a streaming job, as its driver told last"
    )
    requested_by = serializers.CharField(source="requested_by.username", default=None, allow_null=True)
    cancel_asked_by = serializers.CharField(source="cancel_asked_by.username", default=None, allow_null=True)
    duration_s = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields: ClassVar = [
            "id",
            "app",
            "params",
            "state",
            "requested_by",
            "is_demo",
            "target",
            "attempt",
            "retries_left",
            "not_before",
            "last_error",
            "is_streaming",
            "progress",
            "requested_at",
            "started_at",
            "ended_at",
            "duration_s",
            "cancel_asked_at",
            "cancel_asked_by",
            "spark_app_id",
            "stages_done",
            "stages_total",
            "tasks_done",
            "tasks_total",
            "exit_code",
            "result",
            "error",
            "delivery_error",
        ]

    def get_duration_s(self, job: Job) -> float | None:
        """Seconds from start to end, or to now."""
        return job.duration.total_seconds() if job.duration is not None else None


class NewJobSerializer(StrictSerializer):
    """A job that somebody wants."""

    app = serializers.CharField(max_length=100)
    params = serializers.DictField(required=False, default=dict)
    target = serializers.CharField(max_length=40, required=False, default="default")
    retries = serializers.IntegerField(
        min_value=0,
        max_value=5,
        required=False,
        default=0,
        help_text="After failures that may not come again",
    )


class JobScheduleSerializer(serializers.ModelSerializer):
    """A job that comes again by itself. last_error: why it was not submitted the last time."""

    params = serializers.DictField()
    requested_by = serializers.CharField(source="requested_by.username", default=None, allow_null=True)
    last_job = serializers.UUIDField(source="last_job_id", allow_null=True)

    class Meta:
        model = JobSchedule
        fields: ClassVar = [
            "id",
            "app",
            "params",
            "target",
            "retries",
            "cron",
            "requested_by",
            "created_at",
            "is_paused",
            "next_at",
            "last_job",
            "last_error",
        ]


class NewJobScheduleSerializer(NewJobSerializer):
    """A job that is to come again."""

    cron = serializers.CharField(max_length=100, help_text="Minute, hour, day of month, month, weekday; UTC")


class JobScheduleChangeSerializer(StrictSerializer):
    """What may change."""

    is_paused = serializers.BooleanField()


class NothingSerializer(StrictSerializer):
    """A body without fields."""


class LogQuerySerializer(StrictSerializer):
    """From where, and of which try."""

    cursor = serializers.RegexField(r"^(\d{1,5}\.)?\d{1,15}$", required=False, default="0")

    def get_fields(self) -> dict[str, Any]:
        """`try` is a word of Python."""
        return {**super().get_fields(), "try": serializers.IntegerField(min_value=1, required=False)}

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """`byte` and `attempt`, none for the newest: a cursor belongs to the try that it was given for."""
        attempt, _dot, byte = values["cursor"].rpartition(".")
        return {"byte": int(byte), "attempt": int(attempt) if attempt else values.get("try")}


class JobLogSerializer(serializers.Serializer):
    """A piece of a log."""

    text = serializers.CharField(allow_blank=True)
    cursor = serializers.CharField(help_text="Asks for what follows")
    is_complete = serializers.BooleanField(help_text="true when nothing will follow the cursor")


class ParameterSerializer(serializers.Serializer):
    """A parameter of an application."""

    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the metaclass takes it out of the class
    help = serializers.CharField(allow_blank=True)
    kind = serializers.CharField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    default = serializers.JSONField(allow_null=True)
    choices = serializers.ListField(child=serializers.JSONField())
    minimum = serializers.FloatField(allow_null=True)
    maximum = serializers.FloatField(allow_null=True)
    endings = serializers.ListField(child=serializers.CharField(), help_text="Of files that a path may name")


class SparkAppSerializer(serializers.Serializer):
    """An application that may be submitted."""

    name = serializers.CharField()
    title = serializers.CharField()
    doc = serializers.CharField(allow_blank=True)
    is_streaming = serializers.BooleanField(help_text="Whether it runs until somebody stops it")
    parameters = ParameterSerializer(many=True)


class SparkAppListSerializer(WholeListSerializer):
    """All applications."""

    results = SparkAppSerializer(many=True)
