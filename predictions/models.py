"""Recorded predictions, in one partition a day, and the ids that are treated otherwise."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Source(models.TextChoices):
    FORM = "form", _("form")
    API = "api", _("API")


class Prediction(models.Model):
    """One row that was scored. Ids are UUIDv7, so they sort by time and name the day's partition.

    row: its place in the request. actual: what turned out to be true, as the owner said.
    is_answered: false when the caller was told that the record could not be confirmed.
    """

    id = models.UUIDField(primary_key=True)
    request_id = models.CharField(max_length=64)
    at = models.DateTimeField()
    model = models.CharField(max_length=250)
    version = models.CharField(max_length=50)
    user_id = models.BigIntegerField()
    username = models.CharField(max_length=150)
    token_id = models.BigIntegerField(null=True)
    source = models.CharField(max_length=8, choices=Source.choices)
    row = models.PositiveIntegerField()
    inputs = models.JSONField()
    value = models.JSONField()
    label = models.TextField(blank=True)
    probabilities = models.JSONField(null=True)
    warnings = models.JSONField(default=list)
    is_demo = models.BooleanField(default=False)
    is_answered = models.BooleanField(default=True)
    recorded_at = models.DateTimeField(default=timezone.now)
    actual = models.JSONField(null=True)
    actual_by = models.CharField(max_length=150, blank=True)
    actual_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["user_id", "-id"], name="prediction_by_user"),
            models.Index(fields=["model", "-id"], name="prediction_by_model"),
        ]

    def __str__(self) -> str:
        return f"{self.model} v{self.version} {self.id}"

    @property
    def answer(self) -> str:
        """The label, or the value of a regression."""
        return self.label or str(self.value)

    @property
    def is_right(self) -> bool:
        """Whether the answer turned out to be true, as far as anybody said so."""
        return self.actual_at is not None and self.actual == self.value

    @property
    def probability(self) -> float | None:
        """Of the value that was answered."""
        return (self.probabilities or {}).get(str(self.value))


class ErasedPrediction(models.Model):
    """An id whose prediction was erased: a replay of the topic does not bring it back."""

    id = models.UUIDField(primary_key=True)
    model = models.CharField(max_length=250)
    user_id = models.BigIntegerField()
    erased_by = models.CharField(max_length=150)
    erased_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.id)


class UnansweredPrediction(models.Model):
    """An id that a caller was refused although its record may arrive."""

    id = models.UUIDField(primary_key=True)
    noted_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.id)
