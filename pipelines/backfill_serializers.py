"""The shape of backfills over REST."""

from rest_framework import serializers

from core.lib.edge import MomentSerializerField
from core.lib.rest import StrictSerializer
from pipelines.backfill_models import MOST_AT_ONCE, Reprocess
from pipelines.models import LONGEST_NOTE


class BackfillSerializer(serializers.Serializer):
    """A backfill: Airflow's state, or ours while Airflow does not know it."""

    id = serializers.IntegerField(source="backfill.pk")
    dag_id = serializers.CharField(source="backfill.dag_id")
    airflow_id = serializers.IntegerField(source="backfill.airflow_id", allow_null=True)
    state = serializers.CharField(
        source="backfill.state",
        help_text="requested, refused, running, paused, completed, cancelled or lost (deleted in Airflow)",
    )
    wish = serializers.CharField(
        source="backfill.wish",
        help_text="start, pause, unpause or cancel while Airflow has not confirmed it",
    )
    from_date = serializers.DateTimeField(source="backfill.from_date")
    to_date = serializers.DateTimeField(source="backfill.to_date")
    run_backwards = serializers.BooleanField(
        source="backfill.run_backwards", allow_null=True, help_text="null where others began it"
    )
    conf = serializers.DictField(source="backfill.conf")
    reprocess_behavior = serializers.CharField(source="backfill.reprocess_behavior")
    max_active_runs = serializers.IntegerField(source="backfill.max_active_runs")
    run_on_latest_version = serializers.BooleanField(source="backfill.run_on_latest_version", allow_null=True)
    reason = serializers.CharField(source="backfill.reason", allow_blank=True)
    requested_by = serializers.CharField(
        source="backfill.requested_by.username", default=None, allow_null=True
    )
    n_runs = serializers.IntegerField(source="progress.n")
    n_runs_by_state = serializers.DictField(source="progress.n_by_state", child=serializers.IntegerField())
    created_at = serializers.DateTimeField(source="backfill.created_at")
    started_at = serializers.DateTimeField(source="backfill.started_at", allow_null=True)
    completed_at = serializers.DateTimeField(source="backfill.completed_at", allow_null=True)
    delivery_attempts = serializers.IntegerField(source="backfill.delivery_attempts")
    delivery_error = serializers.CharField(source="backfill.delivery_error", allow_blank=True)


class BackfillValuesSerializer(StrictSerializer):
    """Which dates, and how."""

    from_date = MomentSerializerField(
        help_text="the first logical date, included; of a partitioned pipeline by the clock of its "
        "schedule's zone, whatever zone is written"
    )
    to_date = MomentSerializerField(
        help_text="the last one, included; it may be ahead, what has not come yet is left out, but of a "
        "partitioned pipeline it has to be past"
    )
    run_backwards = serializers.BooleanField(required=False, default=False, help_text="the newest date first")
    conf = serializers.DictField(
        required=False, default=dict, help_text="of every run; when empty, runs made again keep theirs"
    )
    reprocess_behavior = serializers.ChoiceField(
        choices=Reprocess.values,
        required=False,
        default=Reprocess.NONE.value,
        help_text="which dates that have a run already run again",
    )
    max_active_runs = serializers.IntegerField(
        required=False, default=10, min_value=1, max_value=MOST_AT_ONCE, help_text="how many run at once"
    )
    run_on_latest_version = serializers.BooleanField(
        required=False,
        allow_null=True,
        default=None,
        help_text="whether runs made again take the newest code; as Airflow is set when left out; of a"
        " partitioned pipeline all runs are new",
    )


class BackfillRequestSerializer(BackfillValuesSerializer):
    """A backfill that somebody wants."""

    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=LONGEST_NOTE)


class BackfillDateSerializer(serializers.Serializer):
    """A logical date that would run."""

    logical_date = serializers.DateTimeField(
        source="at", help_text="of a partitioned pipeline the date of the partition"
    )
    partition_key = serializers.CharField(allow_blank=True)
    run_id = serializers.IntegerField(
        source="run.pk",
        default=None,
        allow_null=True,
        help_text="the run that it has, which would run again; of a partition a new one is made beside it",
    )
    state = serializers.CharField(source="run.state", default=None, allow_null=True)


class BackfillPreviewSerializer(serializers.Serializer):
    """What would run, in that order."""

    n_runs = serializers.SerializerMethodField()
    n_kept = serializers.IntegerField(help_text="runs for these dates that would stay as they are")
    limit = serializers.IntegerField(help_text="runs that one backfill may make")
    refusal = serializers.CharField(
        allow_blank=True, help_text="why it cannot be started so; empty when it can"
    )
    results = BackfillDateSerializer(many=True, source="shown", help_text="the first 100")

    def get_n_runs(self, found: object) -> int:
        """How many would run."""
        return len(getattr(found, "dates", []))
