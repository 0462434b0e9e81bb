"""Recorded predictions, in one partition a day, the ids that are treated otherwise, and windows of drift."""

from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Func, Q, Value
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from predictions.batch_models import PredictionBatch as PredictionBatch


class Source(models.TextChoices):
    FORM = "form", _("form")
    API = "api", _("API")
    BATCH = "batch", _("file")


class Prediction(models.Model):
    """One row that was scored. Ids are UUIDv7, so they sort by time and name the day's partition.

    arrival: counts up as rows are recorded, however late they come. row: its place in the request.
    actual: what turned out to be true, as the owner said.
    is_answered: false when the caller was told that the record could not be confirmed.
    """

    id = models.UUIDField(primary_key=True)
    request_id = models.CharField(max_length=64)
    at = models.DateTimeField()
    model = models.CharField(max_length=256)
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
    arrival = models.BigIntegerField(db_default=Func(Value("predictions_arrival"), function="nextval"))

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["user_id", "-id"], name="prediction_by_user"),
            models.Index(fields=["model", "-id"], name="prediction_by_model"),
            models.Index(fields=["model", "version", "is_demo", "arrival"], name="prediction_by_arrival"),
        ]

    def __str__(self) -> str:
        return f"{self.model} v{self.version} {self.id}"

    def get_absolute_url(self) -> str:
        return reverse("predict:detail", args=[self.pk])

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
    model = models.CharField(max_length=256)
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


def _between(low: float, high: float) -> list[Any]:
    return [MinValueValidator(low), MaxValueValidator(high)]


class DriftRules(models.Model):
    """When a window of a model's predictions is cut, and from when on it counts as drifted.

    A model without a row has these defaults. wasserstein: in standard deviations of the reference.
    """

    EDITABLE: ClassVar = (
        "is_watched",
        "window_size",
        "window_hours",
        "min_n",
        "alpha",
        "wasserstein",
        "psi",
        "score_psi",
        "share",
    )

    model = models.CharField(max_length=256, unique=True)
    is_watched = models.BooleanField(
        _("Watch this model"), default=True, help_text=_("Off: no windows, no alerts.")
    )
    window_size = models.PositiveIntegerField(
        _("Window"),
        default=500,
        validators=_between(50, 20_000),
        help_text=_("So many predictions are compared with the reference at once."),
    )
    window_hours = models.PositiveIntegerField(
        _("At the latest after"),
        default=24,
        validators=_between(1, 24 * 30),
        help_text=_("The window is closed by then if it holds the least number."),
    )
    min_n = models.PositiveIntegerField(
        _("Least number"),
        default=100,
        validators=_between(30, 20_000),
        help_text=_("Fewer predictions get no verdict."),
    )
    alpha = models.FloatField(
        _("Significance"),
        default=0.01,
        validators=_between(0.000001, 0.2),
        help_text=_("A corrected p-value above this is chance."),
    )
    wasserstein = models.FloatField(
        _("Shift of a number"),
        default=0.1,
        validators=_between(0.01, 10),
        help_text=_("Normalised Wasserstein distance from which on it counts."),
    )
    psi = models.FloatField(
        _("Shift of a category"),
        default=0.1,
        validators=_between(0.01, 10),
        help_text=_("Stability index (PSI) from which on it counts; of numbers with few values too."),
    )
    score_psi = models.FloatField(
        _("Shift of the score"),
        default=0.2,
        validators=_between(0.01, 10),
        help_text=_("Stability index (PSI) from which on it counts."),
    )
    share = models.FloatField(
        _("Change of a share"),
        default=0.1,
        validators=_between(0.01, 1),
        help_text=_("Of missing, unseen or out-of-range values, from 0 to 1."),
    )
    changed_at = models.DateTimeField(null=True, blank=True)
    changed_by = models.CharField(max_length=150, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(min_n__lte=F("window_size")), name="drift_min_n_fits_window")
        ]

    def __str__(self) -> str:
        return self.model

    def clean(self) -> None:
        """The least number fits into a window."""
        if self.min_n is not None and self.window_size is not None and self.min_n > self.window_size:
            raise ValidationError({"min_n": _("This must not be more than a window holds.")})


class DriftWatch(models.Model):
    """How far a version's predictions are judged. Whoever judges holds this row locked.

    bookmark: the `arrival` of the last prediction in a window. summary: of the frozen reference, once it was
    fetched. error: why it cannot be had. is_demo: the demonstration's predictions have windows of their own.
    """

    model = models.CharField(max_length=256)
    version = models.CharField(max_length=50)
    is_demo = models.BooleanField(default=False)
    bookmark = models.BigIntegerField(default=0)
    reference_sha256 = models.CharField(max_length=64, blank=True)
    summary = models.JSONField(null=True)
    error = models.TextField(blank=True)
    next_attempt_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "version", "is_demo"], name="one_drift_watch")
        ]

    def __str__(self) -> str:
        return f"{self.model} v{self.version}"


class DriftVerdict(models.TextChoices):
    DRIFTED = "drifted", _("drifted")
    STABLE = "stable", _("stable")
    NOT_ENOUGH = "not_enough", _("not enough")


class DriftWindow(models.Model):
    """One judgement, never changed: predictions with `after` < arrival <= `upto`, `since` to `until`.

    columns: `scoring.drift.shapes.ColumnJudgement` of each, as JSON, the strongest first.
    limits: the rules that held. n_reference: rows of the reference.
    """

    model = models.CharField(max_length=256)
    version = models.CharField(max_length=50)
    is_demo = models.BooleanField(default=False)
    after = models.BigIntegerField()
    upto = models.BigIntegerField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    n = models.PositiveIntegerField()
    n_reference = models.PositiveIntegerField()
    verdict = models.CharField(max_length=10, choices=DriftVerdict.choices)
    columns = models.JSONField()
    limits = models.JSONField()
    judged_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model", "version", "is_demo", "after"], name="one_drift_window_after"
            ),
            models.CheckConstraint(condition=Q(upto__gt=F("after")), name="drift_window_holds_something"),
        ]
        indexes: ClassVar = [models.Index(fields=["model", "-id"], name="drift_window_by_model")]

    def __str__(self) -> str:
        return f"{self.model} v{self.version} #{self.pk}"

    @cached_property
    def url(self) -> str:
        """Of its page; a strip for each column leads there."""
        return reverse("drift:window-detail", args=[self.model, self.pk])

    @property
    def is_drifted(self) -> bool:
        return self.verdict == DriftVerdict.DRIFTED

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """The columns; of a row read for a list only what a list shows, without checks and bins."""
        brief: list[dict[str, Any]] | None = self.__dict__.get("brief")
        return self.columns if brief is None else brief

    @property
    def drifted_columns(self) -> list[dict[str, Any]]:
        """The strongest first."""
        return [column for column in self.verdicts if column["verdict"] == DriftVerdict.DRIFTED]
