"""What the console keeps of Airflow: pipelines (DAGs) and their runs.

Airflow has the truth; `sync` mirrors it. What somebody asked for and Airflow has not done yet stands in the
same rows: `Run.wish` and `Pipeline.wanted_is_paused`, delivered by `tasks`.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import ExpressionWrapper, F, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.lib import traces
from core.lib.outbox import Deliverable
from pipelines import coming, conditions, params
from pipelines.alert_rule_models import AlertRule as AlertRule
from pipelines.asset_models import Asset as Asset
from pipelines.asset_models import AssetEvent as AssetEvent
from pipelines.backfill_models import Backfill as Backfill
from pipelines.scope import Scope
from pipelines.states import ENDED, NEVER_THERE, TYPES, RunState
from pipelines.task_models import InputRequest as InputRequest
from pipelines.task_models import TaskInstance as TaskInstance
from pipelines.task_models import TaskLog as TaskLog

LONGEST_NOTE = 1000
LONGEST_KEY = 250  # of a partition
LONGEST_SOURCE = 200_000
MOST_SWITCHES = 500  # of pipelines, moved by one form or call


class Wish(models.TextChoices):
    """What a worker still has to ask of Airflow for a run; empty once that is done."""

    START = "start", _("start")
    CANCEL = "cancel", _("cancel")
    CLEAR = "clear", _("clear")
    SUCCEED = "succeed", _("mark as successful")
    FAIL = "fail", _("mark as failed")
    MARK = "mark", _("mark a task")
    NOTHING = "", _("nothing")


ENDS = (Wish.CANCEL, Wish.SUCCEED, Wish.FAIL)
# In `wish_details`: one that was withdrawn may be followed by another of its kind.
WISH_ID = "wish_id"


def _user(**options: Any) -> models.ForeignKey:
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", **options
    )


class Pipeline(Deliverable):
    """A DAG, as its author wrote it. `wanted_is_paused` is a switch that somebody moved here."""

    dag_id = models.CharField(max_length=250, primary_key=True)
    display_name = models.TextField()
    description = models.TextField(blank=True)
    doc_md = models.TextField(blank=True)
    tags = models.JSONField(default=list)
    owners = models.JSONField(default=list)
    schedule = models.TextField(blank=True)
    schedule_text = models.TextField(blank=True)
    next_run_at = models.DateTimeField(null=True)
    next_logical_at = models.DateTimeField(null=True)  # of that run
    ends_at = models.DateTimeField(null=True)  # no logical date is later
    is_paused = models.BooleanField(default=False)
    # Since when it is known and not paused; null where that is longer than anybody noted it.
    awake_at = models.DateTimeField(null=True, default=timezone.now)
    has_import_errors = models.BooleanField(default=False)
    file = models.TextField(blank=True)
    bundle = models.TextField(
        blank=True, db_default=""
    )  # the bundle that the file is in; empty where unknown
    version = models.PositiveIntegerField(null=True)
    timezone = models.TextField(blank=True, db_default="")  # of its dates, and of most schedules
    max_active_runs = models.PositiveIntegerField(null=True)
    # [{"name", "value", "schema", "description"}]: a list, because PostgreSQL does not keep an object's order
    param_list = models.JSONField(default=list)
    # [{"id", "label", "operator", "downstream": [ids], "is_mapped", "groups", "role", "edge_labels"}]
    tasks = models.JSONField(default=list)
    details_at = models.DateTimeField(null=True)
    # Whether its schedule has past dates that can be run; and when its backfills were last looked at.
    is_backfillable = models.BooleanField(default=False, db_default=False)
    backfills_at = models.DateTimeField(null=True)
    # Whether its runs are each for a partition of its assets.
    is_partitioned = models.BooleanField(default=False, db_default=False)
    # How a run of it may come about, in Airflow's words; null for any way.
    allowed_run_types = models.JSONField(null=True)
    # Which changes of assets start it, in Airflow's words; null for another schedule.
    asset_expression = models.JSONField(null=True)
    # Of those, [{"name", "uri", "aliases", "at"}] that changed since it last began, and when that was last
    # read; null once it may be otherwise.
    queued_assets = models.JSONField(default=list, db_default=[])
    queue_read_at = models.DateTimeField(null=True)
    # [{"partition_key", "n_received", "n_required", "since"}] for which not all its assets are there, the
    # longest waiting first; not all where there are many.
    waiting_partitions = models.JSONField(default=list, db_default=[])
    gone_at = models.DateTimeField(null=True)
    wanted_is_paused = models.BooleanField(null=True)
    wanted_by = _user()

    class Meta:
        ordering: ClassVar = ["dag_id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(wanted_is_paused__isnull=True) | Q(next_attempt_at__isnull=False),
                name="wanted_pause_has_next_attempt",
            ),
        ]

    def __str__(self) -> str:
        return self.dag_id

    def get_absolute_url(self) -> str:
        return reverse("pipelines:pipeline-detail", args=[self.dag_id])

    @property
    def shows_paused(self) -> bool:
        """The switch as somebody left it, though Airflow may not know yet."""
        return self.is_paused if self.wanted_is_paused is None else self.wanted_is_paused

    def allows(self, run_type: str) -> bool:
        """Whether its author lets a run come about so."""
        return self.allowed_run_types is None or run_type in self.allowed_run_types

    @property
    def asset_condition(self) -> str:
        """Which changes of assets start it, in words; empty for another schedule."""
        return conditions.in_words(self.asset_expression)

    @property
    def awaited_assets(self) -> list[conditions.Awaited]:
        """What it waits for, with what has changed since it last began; empty for another schedule."""
        if self.asset_expression is None or self.is_partitioned:
            return []
        return conditions.awaited(self.asset_expression, self.queued_assets)

    @property
    def n_changed_assets(self) -> int:
        """How many of these have."""
        return sum(one.changed_at is not None for one in self.awaited_assets)

    @property
    def allowed_kinds(self) -> str:
        """How a run may come about, in words; empty for any way."""
        return ", ".join(str(TYPES.get(name, name)) for name in self.allowed_run_types or [])

    @property
    def schedule_zone(self) -> str:
        """The zone that a schedule by clock is read in; empty where Airflow does not tell it."""
        return coming.zone_of(self.schedule, self.next_run_at, self.timezone or "UTC")

    @property
    def has_own_zone(self) -> bool:
        """Whether its schedule goes by the clock of a zone that Airflow does not tell."""
        return coming.has_zone(self.schedule) and not self.schedule_zone

    @property
    def shown_schedule(self) -> str:
        """The schedule in Airflow's words; empty where it has none, which Airflow writes as `None`."""
        return "" if self.schedule == "None" else self.schedule

    @property
    def allows_manual(self) -> bool:
        """Whether somebody may run it by hand."""
        return self.allows("manual")

    @property
    def settings(self) -> list[params.Setting]:
        """Its parameters for reading."""
        return [params.setting(param) for param in self.param_list]

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """name -> {"value", "schema", "description"}, in the author's order."""
        return params.by_name(self.param_list)


def duration_of(state: str, started_at: datetime | None, ended_at: datetime | None) -> timedelta | None:
    """How long a run in this state took, or takes so far; None before the start."""
    if started_at is None or (ended_at is None and state in ENDED):
        return None
    return max((ended_at or timezone.now()) - started_at, timedelta())


class PipelineSource(models.Model):
    """A version of a pipeline: the text of its file, at most `LONGEST_SOURCE` characters, and its graph."""

    dag_id = models.CharField(max_length=250)
    version = models.PositiveIntegerField()
    text = models.TextField(blank=True)
    read_at = models.DateTimeField(default=timezone.now)
    tasks = models.JSONField(
        null=True
    )  # as of `Pipeline`; null until they are read, empty where Airflow does not tell

    class Meta:
        ordering: ClassVar = ["-version"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dag_id", "version"], name="source_once_per_version"),
        ]

    def __str__(self) -> str:
        return f"{self.dag_id} {self.version}"


TOOK = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=models.DurationField())
# Runs that Airflow does not have: nothing can be done to them, and they are in nobody's way.
NOT_THERE = Q(state__in=NEVER_THERE) | Q(gone_at__isnull=False)


class Run(Deliverable):
    """One run of a pipeline: asked for here (then `requested_by` says by whom) or seen in Airflow."""

    dag_id = models.CharField(max_length=250)
    dag_run_id = models.CharField(max_length=250)
    conf = models.JSONField(default=dict)
    note = models.TextField(blank=True)
    state = models.CharField(max_length=50, default=RunState.REQUESTED)
    wish = models.CharField(max_length=10, choices=Wish, default=Wish.START, blank=True)
    wished_by = _user()
    is_clear_of_failed_only = models.BooleanField(default=False)
    # Which tasks to clear or mark (a `Scope`), "state" to mark them with, "tries": the latest of each when
    # somebody asked, by "<task_id> <map_index>", as a newer one shows that it was done. Of the end of a run:
    # "is_taken" while Airflow ends it after its teardown tasks, "queued_at" then.
    wish_details = models.JSONField(default=dict, db_default={})
    requested_by = _user()
    run_type = models.CharField(max_length=50, blank=True)
    triggered_by = models.TextField(blank=True)
    # What templates call `ds` and `ts`: undefined without one, and tasks that use them fail.
    logical_date = models.DateTimeField(null=True)
    # What templates call so; as the schedule has them unless given.
    data_interval_start = models.DateTimeField(null=True)
    data_interval_end = models.DateTimeField(null=True)
    partition_key = models.CharField(max_length=LONGEST_KEY, blank=True, default="", db_default="")
    # Of a partition that stands for one; null for others, and where an earlier release noted the run.
    partition_date = models.DateTimeField(null=True)
    run_after = models.DateTimeField(null=True)  # not before then; null where an earlier release noted it
    created_at = models.DateTimeField(default=timezone.now)
    queued_at = models.DateTimeField(null=True)  # by Airflow's clock; anew when it is cleared
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    backfill = models.ForeignKey(Backfill, null=True, on_delete=models.SET_NULL, related_name="runs")
    versions = models.JSONField(default=list, db_default=[])  # of the pipeline's code that its tasks ran
    # Since when it is known that Airflow does not have it: it was deleted there, or never arrived. `state` is
    # the last one all the same.
    gone_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)  # by us: Airflow itself only knows `failed`
    # Airflow is asked for its tasks at least once more, and in each round until then; null while nobody has
    # reason to. Written together with whatever tells that they may have changed.
    tasks_due_until = models.DateTimeField(null=True)
    # When Airflow was asked which events of assets it took; null until then, and where none began it.
    events_read_at = models.DateTimeField(null=True)
    is_demo = models.BooleanField(default=False)
    # Of the click that the latest wish came from, where there are traces: what is sent again goes on with it.
    traceparent = models.CharField(
        max_length=traces.LONGEST, blank=True, default=traces.traceparent, db_default="", editable=False
    )

    # Two calls of Airflow, each as long as its time limits allow, and signing in before them.
    lease_s: ClassVar[int] = 60

    class Meta:
        ordering: ClassVar = ["-created_at", "-pk"]
        constraints: ClassVar = [
            # Scheduled runs of two pipelines carry the same id: Airflow's is unique within a pipeline only.
            models.UniqueConstraint(fields=["dag_id", "dag_run_id"], name="run_id_once_per_pipeline"),
            models.CheckConstraint(
                condition=~Q(state=RunState.REQUESTED) | Q(wish=Wish.START), name="requested_run_wishes_start"
            ),
            models.CheckConstraint(
                condition=Q(wish=Wish.NOTHING) | Q(next_attempt_at__isnull=False),
                name="wish_has_next_attempt",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["dag_id", "-created_at"], name="runs_of_pipeline"),
            models.Index(fields=["-created_at"], name="runs_recent"),
            models.Index(fields=["dag_id", "state", "-ended_at"], name="runs_by_end"),
            models.Index(
                fields=["state"], condition=~Q(state__in=["success", "failed"]), name="runs_not_done"
            ),
            models.Index(
                fields=["queued_at"],
                condition=Q(run_type="backfill", backfill=None),
                name="runs_of_unknown_backfill",
            ),
            models.Index(
                fields=["tasks_due_until"],
                condition=Q(tasks_due_until__isnull=False),
                name="runs_with_tasks_due",
            ),
            models.Index(
                fields=["-created_at"],
                condition=Q(run_type="asset_triggered", events_read_at=None, gone_at=None),
                name="runs_with_events_unread",
            ),
            # Both ways have runs that have not ended last: no index is read backwards for the other.
            models.Index(TOOK.asc(nulls_last=True), F("id").asc(), name="runs_shortest"),
            models.Index(TOOK.desc(nulls_last=True), F("id").desc(), name="runs_longest"),
            models.Index(F("logical_date").asc(nulls_last=True), F("id").asc(), name="runs_by_date"),
            models.Index(
                F("logical_date").desc(nulls_last=True), F("id").desc(), name="runs_by_date_falling"
            ),
            models.Index(fields=["dag_id", "logical_date"], name="runs_of_date"),
            models.Index(
                fields=["dag_id", "partition_key"],
                condition=~Q(partition_key=""),
                name="runs_of_partition",
            ),
            models.Index(fields=["triggered_by"], condition=Q(state="failed"), name="runs_failed_by"),
        ]

    def __str__(self) -> str:
        return self.key

    def get_absolute_url(self) -> str:
        return reverse("pipelines:run-detail", args=[self.pk])

    @property
    def key(self) -> str:
        """What it is called among all runs; the name of a pipeline holds no space."""
        return f"{self.dag_id} {self.dag_run_id}"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen unless somebody asks."""
        return self.state in ENDED

    @property
    def trace_id(self) -> str:
        """By which the collector of traces finds what became of the latest wish; empty for none."""
        return traces.trace_id(self.traceparent)

    @property
    def settings(self) -> list[tuple[str, str]]:
        """The conf as pairs of name and JSON: a template would take a key `items` for the method."""
        return [(name, params.in_words(value)) for name, value in self.conf.items()]

    @property
    def is_cancelling(self) -> bool:
        """Somebody cancelled it and Airflow has not confirmed."""
        return self.wish == Wish.CANCEL

    @property
    def can_cancel(self) -> bool:
        """Whether somebody may end it, whatever else Airflow has not confirmed."""
        return not self.has_ended and self.wish != Wish.CANCEL

    @property
    def can_withdraw(self) -> bool:
        """Whether what Airflow has not confirmed may be taken back; a start is cancelled instead."""
        is_start_cancelled = self.wish == Wish.CANCEL and self.state == RunState.CANCELLED
        return self.wish not in {Wish.NOTHING, Wish.START} and not is_start_cancelled

    @property
    def awaits_teardowns(self) -> bool:
        """Airflow has taken the wish for its end, and ends it by itself once its teardown tasks are over."""
        return self.wish in ENDS and bool(self.wish_details.get("is_taken"))

    def is_queued_anew(self, queued_at: datetime | None) -> bool:
        """Whether somebody cleared it since Airflow took the wish: Airflow queues it anew then."""
        noted = self.wish_details.get("queued_at")
        return queued_at != (datetime.fromisoformat(noted) if noted else None)

    @property
    def wished_scope(self) -> Scope:
        """The tasks that the wish is about."""
        given = {name: value for name, value in self.wish_details.items() if name in Scope.__match_args__}
        return Scope(**{"only_failed": self.is_clear_of_failed_only, **given})

    @property
    def is_there(self) -> bool:
        """Whether Airflow has it, as far as anybody knows, or is to get it."""
        return self.state not in NEVER_THERE and self.gone_at is None

    @property
    def can_change(self) -> bool:
        """Whether Airflow has it and nothing else is on its way there: it may be cleared or marked."""
        return not self.wish and self.is_there

    @property
    def kind(self) -> str:
        """What made it, in words; Airflow's own where we know none."""
        return str(TYPES.get(self.run_type, self.run_type))

    @property
    def duration(self) -> timedelta | None:
        """From start to end, or to now; None before the start."""
        return duration_of(self.state, self.started_at, self.ended_at)


class RunNote(Deliverable):
    """A note that somebody wrote on a run and that Airflow does not have yet; `Run.note` shows it already."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="wanted_note")
    text = models.TextField(blank=True)
    written_by = _user()

    def __str__(self) -> str:
        return f"{self.run_id}: {self.text[:50]}"


class Preset(models.Model):
    """Settings of a pipeline under a name, for whoever runs it."""

    dag_id = models.CharField(max_length=250)
    name = models.CharField(max_length=100)
    conf = models.JSONField(default=dict)
    created_by = _user()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dag_id", "name"], name="preset_once_per_pipeline"),
        ]

    def __str__(self) -> str:
        return f"{self.dag_id} {self.name}"


class ForgottenRun(models.Model):
    """A run that was removed here and is still in Airflow: the mirror passes it over."""

    dag_id = models.CharField(max_length=250)
    dag_run_id = models.CharField(max_length=250)
    forgotten_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dag_run_id", "dag_id"], name="forgotten_run_once"),
        ]

    def __str__(self) -> str:
        return f"{self.dag_id} {self.dag_run_id}"


class ImportFault(models.Model):
    """A DAG file that Airflow could not read."""

    airflow_id = models.PositiveBigIntegerField(unique=True)
    filename = models.TextField()
    bundle = models.TextField(blank=True, db_default="")
    stack_trace = models.TextField()
    at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["filename"]

    def __str__(self) -> str:
        return self.filename

    @property
    def key(self) -> str:
        """What it is called among all."""
        return f"{self.airflow_id} {self.filename}"


class Bookmark(models.Model):
    """How far a mirror has read, by Airflow's own clock."""

    name = models.CharField(max_length=50, primary_key=True)
    read_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} {self.read_until:%Y-%m-%d %H:%M:%S}"
