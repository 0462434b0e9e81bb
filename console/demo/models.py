"""Rows: demonstrations, how far each has come, and what it has to know to go on."""

from datetime import timedelta
from typing import Any, ClassVar, Final

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.demo.store import patiently

# A demonstration that works says so every few seconds; after this silence its process is gone.
SILENT_AFTER: Final = timedelta(seconds=45)
TOPIC: Final = "demo"  # of the news that its box hears
TITLES: Final = {
    "train": _("Train a model"),
    "gate": _("Judge it at the gate"),
    "approve": _("Ask for promotion, approve it"),
    "predict": _("Predict"),
    "stream": _("Count a stream of events"),
    "spark": _("Clean trips on Spark"),
    "drift": _("Watch for drift"),
}


class DemoState(models.TextChoices):
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")
    STOPPED = "stopped", _("stopped")
    REMOVED = "removed", _("removed")


class StepState(models.TextChoices):
    WAITING = "none", _("not reached")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    FAILED = "failed", _("failed")


class Demonstration(models.Model):
    """One walk through the console. Of a removed one this row stays: `make up` starts no second by itself."""

    state = models.CharField(max_length=10, choices=DemoState.choices, default=DemoState.RUNNING)
    holder = models.UUIDField(null=True)  # the process that walks
    alive_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True)
    is_dismissed = models.BooleanField(default=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["state"], condition=models.Q(state="running"), name="one_demonstration_walks"
            ),
        ]

    def __str__(self) -> str:
        return f"demonstration {self.pk}"

    @property
    def is_silent(self) -> bool:
        """Whether its process has not been heard of lately."""
        return timezone.now() - self.alive_at > SILENT_AFTER

    @property
    def shown_state(self) -> str:
        """The state, but for one whose process was killed before it could say so."""
        return self.state if self.is_walking or self.state != DemoState.RUNNING else str(DemoState.STOPPED)

    @property
    def is_walking(self) -> bool:
        """Whether a process is at work on it."""
        return self.state == DemoState.RUNNING and not self.is_silent


class Step(models.Model):
    """One step. facts: ids and numbers by which it goes on. attempt: how often it was begun anew.

    is_spent: what it began came to a wrong end, so that going on leads nowhere: it is begun anew.
    """

    demonstration = models.ForeignKey(Demonstration, on_delete=models.CASCADE, related_name="steps")
    number = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=20)
    state = models.CharField(max_length=10, choices=StepState.choices, default=StepState.WAITING)
    attempt = models.PositiveSmallIntegerField(default=0)
    facts = models.JSONField(default=dict)
    is_spent = models.BooleanField(default=True)
    summary = models.TextField(blank=True)
    seconds = models.FloatField(null=True)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["demonstration", "name"], name="demo_step_once"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"

    @property
    def title(self) -> object:
        """Its name in words."""
        return TITLES.get(self.name, self.name)

    def keep(self, **facts: Any) -> None:
        """Remember these facts now: a walk that goes on later finds by them what is there already."""
        self.facts = {**self.facts, **facts}
        patiently(lambda: self.save(update_fields=["facts"]))
