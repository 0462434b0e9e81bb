"""Files of rows that people have predicted."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from core.lib.ids import uuid7
from core.lib.outbox import Deliverable


class BatchState(models.TextChoices):
    QUEUED = "queued", _("queued")
    RUNNING = "running", _("running")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    CANCELLED = "cancelled", _("cancelled")


OPEN = (BatchState.QUEUED, BatchState.RUNNING)


class PredictionBatch(Deliverable):
    """A file of rows, each of which becomes a prediction or is set aside with its reason.

    parts: names of the files with answers that are sealed, in order; the first `n_sent` of them are safe in
    Kafka. holder: the worker that may add to them. n_predicted, n_refused: rows of the parts that are safe.
    versions: that answered, in order. columns: of the file; unused: those of them that are no fields.
    refused: the first rows that were set aside, {"row", "message"}, rows counted from 1. turn_at: when a
    worker last put it down. idempotency_key: of the call that brought it; empty where it had none.
    language: in which it was asked for, and is told what came of it.
    """

    lease_s: ClassVar[int] = 60  # renewed while a worker has it

    id = models.UUIDField(primary_key=True, default=uuid7)
    model = models.CharField(max_length=256)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    username = models.CharField(max_length=150)
    token_id = models.BigIntegerField(null=True)
    idempotency_key = models.CharField(max_length=200, blank=True, default="")
    language = models.CharField(max_length=16, blank=True, default="", db_default="")
    file_name = models.CharField(max_length=255)
    format = models.CharField(max_length=8)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    columns = models.JSONField(default=list)
    unused = models.JSONField(default=list)
    state = models.CharField(max_length=10, choices=BatchState.choices, default=BatchState.QUEUED)
    n_rows = models.PositiveIntegerField(null=True)
    n_predicted = models.PositiveIntegerField(default=0)
    n_refused = models.PositiveIntegerField(default=0)
    versions = models.JSONField(default=list)
    refused = models.JSONField(default=list)
    parts = models.JSONField(default=list)
    n_sent = models.PositiveIntegerField(default=0)
    holder = models.CharField(max_length=32, blank=True, default="")
    is_cancel_asked = models.BooleanField(default=False)
    is_demo = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    turn_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("batch")
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["requested_by", "model", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="one_batch_by_key",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["requested_by", "model", "-id"], name="batch_by_user"),
            models.Index(fields=["model", "-id"], name="batch_by_model"),
            models.Index(fields=["turn_at"], condition=Q(state__in=OPEN), name="batch_open"),
        ]

    def __str__(self) -> str:
        return f"{self.file_name} → {self.model}"

    def get_absolute_url(self) -> str:
        return reverse("predict:batch", args=[self.model, self.pk])

    @property
    def is_open(self) -> bool:
        """Whether a worker still has to do with it."""
        return self.state in OPEN

    @property
    def n_done(self) -> int:
        """Rows that were predicted or set aside."""
        return self.n_predicted + self.n_refused

    @property
    def share_done(self) -> float:
        """Of all rows, 0..1."""
        return self.n_done / self.n_rows if self.n_rows else 0.0

    @property
    def has_result(self) -> bool:
        """Whether there is something to take away: what ended early keeps what it had."""
        return not self.is_open and self.n_done > 0
