"""Rows: Spark jobs, from the wish to how they ended. What their processes left lies in `folders`."""

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.lib.ids import uuid7
from core.lib.outbox import Deliverable
from jobs.folders import Folder


class JobState(models.TextChoices):
    QUEUED = "queued", _("queued")
    STARTING = "starting", _("starting")
    RUNNING = "running", _("running")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")
    LOST = "lost", _("lost")  # it ended and nobody noted how


# These have a place among the jobs that run at once, and a port for the driver's UI.
ACTIVE = (JobState.STARTING, JobState.RUNNING)
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST)


def _user() -> models.ForeignKey:
    return models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")


class Job(Deliverable):
    """One Spark application with its parameters. A worker starts and stops it; `sync` follows it.

    Stages and tasks are as the driver told them last: it takes its numbers with it when it ends.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.CharField(max_length=100)
    params = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=JobState, default=JobState.QUEUED)
    requested_by = _user()
    target = models.CharField(max_length=40, default="default")  # of those that the settings name
    attempt = models.PositiveSmallIntegerField(default=1)
    retries = models.PositiveSmallIntegerField(default=0, db_default=0)  # how often it may be tried again
    retries_left = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True)  # the next try waits until then
    last_error = models.TextField(blank=True)  # of the try before this one
    is_streaming = models.BooleanField(default=False)  # runs until somebody stops it
    progress = models.JSONField(null=True)  # of a streaming job, as it told last
    is_demo = models.BooleanField(default=False)
    # Of the call that asked for it, for a day; empty where it had none.
    idempotency_key = models.CharField(max_length=200, blank=True, default="", db_default="")
    # Of what that call asked for: its repetition is known though the input has been moved since.
    call_sha256 = models.CharField(max_length=64, blank=True, default="", db_default="")
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    cancel_asked_at = models.DateTimeField(null=True)
    cancel_asked_by = _user()
    ui_port = models.PositiveIntegerField(null=True)
    spark_app_id = models.CharField(max_length=200, blank=True)
    stages_done = models.PositiveIntegerField(default=0)
    stages_total = models.PositiveIntegerField(default=0)
    tasks_done = models.PositiveIntegerField(default=0)
    tasks_total = models.PositiveIntegerField(default=0)
    exit_code = models.IntegerField(null=True)  # negative: the number of the signal that ended it
    result = models.JSONField(null=True)
    error = models.TextField(blank=True)
    cleared_at = models.DateTimeField(null=True)  # its folder, and the log in it, are gone since

    class Meta:
        ordering: ClassVar = ["-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state__in=ACTIVE) | Q(ui_port__isnull=False), name="active_job_has_port"
            ),
            models.UniqueConstraint(
                fields=["ui_port"], condition=Q(state__in=ACTIVE), name="port_of_one_active_job"
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.QUEUED) | Q(next_attempt_at__isnull=False),
                name="queued_job_has_next_attempt",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=ENDED) | Q(ended_at__isnull=False, next_attempt_at__isnull=True),
                name="ended_job_wishes_nothing",
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.SUCCEEDED) | Q(result__isnull=False),
                name="succeeded_job_has_result",
            ),
            models.UniqueConstraint(
                fields=["requested_by", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="one_job_by_key",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=~Q(state__in=ENDED), name="jobs_not_ended"),
            models.Index(fields=["app", "-id"], name="jobs_of_app"),
        ]

    def __str__(self) -> str:
        return f"{self.app} {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("jobs:job-detail", args=[self.pk])

    @property
    def folder(self) -> Folder:
        """What its processes left; not there before a worker took it, nor once it is cleared."""
        return self.folder_of(self.attempt)

    def folder_of(self, attempt: int) -> Folder:
        """Each try has a folder of its own: what one left says nothing about the next."""
        name = str(self.pk) if attempt == 1 else f"{self.pk}.{attempt}"
        return Folder(settings.CONSOLE_VAR_DIR / "jobs" / name)

    @property
    def folders(self) -> list[Path]:
        """Of all tries."""
        return [self.folder_of(attempt).path for attempt in range(1, self.attempt + 1)]

    @property
    def output_dir(self) -> Path:
        """Where its application writes tables; it stays when the folder is cleared."""
        return Path(settings.CONSOLE_OUTPUT_DIR) / self.app / str(self.pk)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    @property
    def is_active(self) -> bool:
        """Whether it has processes, or is about to."""
        return self.state in ACTIVE

    @property
    def waits_for_retry(self) -> bool:
        """Whether its next try is not due yet."""
        return self.not_before is not None and self.not_before > timezone.now()

    @property
    def is_cancelling(self) -> bool:
        """Somebody cancelled it and its processes are not gone yet."""
        return self.cancel_asked_at is not None and not self.has_ended

    @property
    def share_done(self) -> float:
        """Tasks done, of those that Spark knows of so far, 0..1."""
        return self.tasks_done / self.tasks_total if self.tasks_total else 0.0

    @property
    def duration(self) -> timedelta | None:
        """From start to end, or to now; None before the start."""
        if self.started_at is None:
            return None
        return max((self.ended_at or timezone.now()) - self.started_at, timedelta())

    @property
    def parameters(self) -> list[tuple[str, Any]]:
        """Names and values: a template would take a parameter `items` for the method."""
        return sorted(self.params.items())


class JobSchedule(models.Model):
    """A job that is submitted again and again, in the name of who asked for it."""

    app = models.CharField(max_length=100)
    params = models.JSONField(default=dict)
    target = models.CharField(max_length=40, default="default")
    retries = models.PositiveSmallIntegerField(default=0)
    cron = models.CharField(max_length=100)  # five fields, UTC
    requested_by = _user()
    created_at = models.DateTimeField(default=timezone.now)
    is_paused = models.BooleanField(default=False)
    next_at = models.DateTimeField()
    last_job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="+")
    last_error = models.TextField(blank=True)  # why it was not submitted the last time

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"{self.app} {self.cron}"

    def get_absolute_url(self) -> str:
        """The page of all."""
        return reverse("jobs:schedule-list")
