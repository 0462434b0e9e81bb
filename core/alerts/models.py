"""Alerts, and the steps that each one took."""

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from core.alerts.facts import Fact, rows
from core.alerts.states import UNRESOLVED, Severity, State, check_step


class Alert(models.Model):
    """A finding that somebody should look at, and all findings of the same while it is unresolved.

    rule: what was broken, such as `drift`. subject: what broke it, such as a model's name.
    """

    rule = models.CharField(max_length=60)
    subject = models.CharField(max_length=300)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.WARNING)
    title = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    facts = models.JSONField(default=list)
    # No bound: a subject in another script is twelve times as long in a path.
    url = models.TextField(blank=True)
    # A fragment of the app that made the finding, which draws it.
    evidence_url = models.TextField(blank=True)
    is_demo = models.BooleanField(default=False)

    state = models.CharField(max_length=12, choices=State.choices, default=State.OPEN)
    state_since = models.DateTimeField(default=timezone.now)
    # Who took the last step, by name because users can go; empty for the console itself.
    handled_by = models.CharField(max_length=150, blank=True)
    muted_until = models.DateTimeField(null=True)
    n_findings = models.PositiveIntegerField(default=1)
    first_found_at = models.DateTimeField(default=timezone.now)
    last_found_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-last_found_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=~Q(state=State.RESOLVED), name="one_unresolved_alert"
            ),
            models.CheckConstraint(
                condition=Q(state=State.MUTED, muted_until__isnull=False)
                | (~Q(state=State.MUTED) & Q(muted_until=None)),
                name="a_muted_alert_says_until_when",
            ),
            models.CheckConstraint(
                condition=Q(n_findings__gt=0, last_found_at__gte=F("first_found_at")),
                name="an_alert_was_found",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["rule", "subject"], name="alert_by_subject"),
            models.Index(fields=["severity"], condition=Q(state=State.OPEN), name="alert_open"),
        ]

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}"

    def get_absolute_url(self) -> str:
        return reverse("alerts:alert-detail", args=[self.pk])

    @property
    def is_unresolved(self) -> bool:
        """Whether it still stands."""
        return self.state in UNRESOLVED

    @property
    def fact_rows(self) -> list[Fact]:
        """The numbers of the latest finding, for a table."""
        return rows(self.facts)

    def move_to(self, state: str, *, by: str = "", reason: str = "", until: datetime | None = None) -> None:
        """Take the step, unsaved, and put it on the timeline; the caller holds the row. Raises Conflict."""
        check_step(self.state, state)
        self.state, self.state_since, self.muted_until = state, timezone.now(), until
        self.handled_by = by
        self.steps.create(state=state, at=self.state_since, by=by, reason=reason, until=until)


class AlertStep(models.Model):
    """One change of state, the opening first: by whom (empty: the console itself), why, and until when."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="steps")
    state = models.CharField(max_length=12, choices=State.choices)
    at = models.DateTimeField(default=timezone.now)
    by = models.CharField(max_length=150, blank=True)
    reason = models.TextField(blank=True)
    until = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.alert} {self.state}"
