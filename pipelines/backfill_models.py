"""The rows of backfills: a pipeline's past dates, run again or for the first time, all in one go.

`models` has this among the other rows of the app.
"""

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.lib.outbox import Deliverable
from pipelines import params


class BackfillState(models.TextChoices):
    """Ours: Airflow only says whether one is paused and when it was over."""

    REQUESTED = "requested", _("requested")
    REFUSED = "refused", _("refused")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    COMPLETED = "completed", _("completed")
    CANCELLED = "cancelled", _("cancelled")
    LOST = "lost", _("lost")  # deleted in Airflow before it was over


MOST_AT_ONCE = 1000  # runs of a backfill

UNDER_WAY = (BackfillState.RUNNING, BackfillState.PAUSED)
OPEN = (BackfillState.REQUESTED, *UNDER_WAY)


class BackfillWish(models.TextChoices):
    """What a worker still has to ask of Airflow for a backfill; empty once that is done."""

    START = "start", _("start")
    PAUSE = "pause", _("pause")
    UNPAUSE = "unpause", _("go on")
    CANCEL = "cancel", _("cancel")
    NOTHING = "", _("nothing")


class Reprocess(models.TextChoices):
    """What becomes of dates that have a run already; the words of Airflow's API."""

    NONE = "none", _("only dates without a run")
    FAILED = "failed", _("those, and dates whose run failed")
    COMPLETED = "completed", _("all dates, also those whose run succeeded")


def _user(**options: Any) -> models.ForeignKey:
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", **options
    )


class Backfill(Deliverable):
    """One backfill: asked for here (then `requested_by` says by whom) or seen in Airflow.

    Of those that others began, Airflow does not tell the direction nor which version of the code they run.
    """

    dag_id = models.CharField(max_length=250)
    airflow_id = models.PositiveBigIntegerField(null=True, unique=True)
    from_date = models.DateTimeField()
    to_date = models.DateTimeField()
    run_backwards = models.BooleanField(null=True)
    conf = models.JSONField(default=dict)
    reprocess_behavior = models.CharField(max_length=50, default=Reprocess.NONE)
    max_active_runs = models.PositiveIntegerField(default=10)
    run_on_latest_version = models.BooleanField(null=True)
    reason = models.TextField(blank=True)
    state = models.CharField(max_length=20, choices=BackfillState, default=BackfillState.REQUESTED)
    wish = models.CharField(max_length=10, choices=BackfillWish, default=BackfillWish.START, blank=True)
    wished_by = _user()
    requested_by = _user()
    n_wanted = models.PositiveIntegerField(null=True)  # runs that Airflow said it would make
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)  # by Airflow's clock, as the end is
    completed_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)  # by us

    # Airflow makes the runs before it answers.
    lease_s: ClassVar[int] = 240

    class Meta:
        ordering: ClassVar = ["-created_at", "-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state=BackfillState.REQUESTED) | Q(wish=BackfillWish.START),
                name="requested_backfill_wishes_start",
            ),
            models.CheckConstraint(
                condition=Q(wish=BackfillWish.NOTHING) | Q(next_attempt_at__isnull=False),
                name="backfill_wish_has_next_attempt",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["dag_id", "-created_at"], name="backfills_of_pipeline"),
            models.Index(fields=["-created_at"], name="backfills_recent"),
        ]

    def __str__(self) -> str:
        return f"{self.dag_id} {self.from_date:%Y-%m-%d} – {self.to_date:%Y-%m-%d}"

    def get_absolute_url(self) -> str:
        return reverse("pipelines:backfill-detail", args=[self.pk])

    @property
    def key(self) -> str:
        """What it is called among all of Airflow's."""
        return f"{self.dag_id} {self.airflow_id}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in OPEN

    @property
    def can_pause(self) -> bool:
        """Whether it may be paused now."""
        return self.state == BackfillState.RUNNING and not self.wish

    @property
    def can_unpause(self) -> bool:
        """Whether it may go on now."""
        return self.state == BackfillState.PAUSED and not self.wish

    @property
    def can_cancel(self) -> bool:
        """Whether it may be cancelled now."""
        return not self.is_over and self.wish != BackfillWish.CANCEL

    @property
    def reprocess_words(self) -> str:
        """What becomes of dates that have a run."""
        known = dict(Reprocess.choices)
        return str(known.get(self.reprocess_behavior, self.reprocess_behavior))

    @property
    def settings(self) -> list[tuple[str, str]]:
        """The conf as pairs of name and JSON."""
        return [(name, params.in_words(value)) for name, value in self.conf.items()]
