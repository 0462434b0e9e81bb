"""The rows of alert rules. `models` has this among the other rows of the app."""

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import ClassVar

from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from core.alerts.facts import PIPELINE_RULES
from core.alerts.states import Severity
from pipelines import verdicts


class RuleKind(models.TextChoices):
    """What breaks an alert rule."""

    FAILED = verdicts.FAILED, _("failed")
    SLOW = verdicts.SLOW, _("took longer than")
    NO_SUCCESS = verdicts.NO_SUCCESS, _("no success since")
    NOT_STARTED = verdicts.NOT_STARTED, _("did not start within")


class AlertRule(models.Model):
    """When pipelines raise an alert. pattern: a pipeline's name, or a glob of names.

    limit_s: seconds that may pass; 0 for a kind without. judged_from: runs that ended before are history.
    """

    kind = models.CharField(max_length=20, choices=RuleKind)
    pattern = models.CharField(max_length=250)
    limit_s = models.PositiveIntegerField(default=0)
    severity = models.CharField(max_length=10, choices=Severity, default=Severity.WARNING)
    is_active = models.BooleanField(default=True)
    judged_from = models.DateTimeField(default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now)
    # Who changed it last, by name because users can go.
    changed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering: ClassVar = ["pattern", "kind", "limit_s"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["kind", "pattern", "limit_s"], name="alert_rule_once"),
        ]

    def __str__(self) -> str:
        return f"{self.pattern}: {self.kind} {self.limit_s}"

    def get_absolute_url(self) -> str:
        return reverse("pipelines:alert-rule-edit", args=[self.pk])

    @property
    def alert_name(self) -> str:
        """What its alerts name as their rule; their subject is the pipeline."""
        return f"{PIPELINE_RULES}{self.kind}:{self.pk}"

    @property
    def limit(self) -> timedelta:
        return timedelta(seconds=self.limit_s)

    def fits(self, dag_id: str) -> bool:
        """Whether it watches that pipeline."""
        return fnmatchcase(dag_id, self.pattern)
