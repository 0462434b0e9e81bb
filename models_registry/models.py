"""Rows: what MLflow knows, mirrored; gates, promotion requests, and the ledger of champions."""

from datetime import timedelta
from typing import Any, ClassVar

import msgspec
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.outbox import Deliverable
from core.lib.times import EARLIEST
from models_registry.states import (
    OPEN_GATES,
    REQUEST_STEPS,
    VERDICTS,
    VERSION_STEPS,
    GateState,
    Policy,
    RequestState,
    ServeAs,
    VersionState,
    check_step,
)
from scoring.spec import Spec, parsed

USER = settings.AUTH_USER_MODEL
GOING_ON = ("RUNNING", "SCHEDULED")  # states of MLflow's runs
REQUEST_LIVES = timedelta(days=14)
# The columns of `WithHashes`.
HASHES = ("served_sha256", "reference_sha256", "holdout_sha256", "spec_sha256")


def _a_while_from_now() -> Any:
    return timezone.now() + REQUEST_LIVES


class Experiment(models.Model):
    """An MLflow experiment."""

    experiment_id = models.CharField(max_length=64, primary_key=True)
    name = models.TextField()
    created_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(null=True)
    gone_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class MlflowRun(models.Model):
    """An MLflow run with its latest metrics. A metric that is no finite number is kept as text ("NaN")."""

    run_id = models.CharField(max_length=64, primary_key=True)
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="runs")
    name = models.TextField(blank=True)
    status = models.CharField(max_length=50)
    user = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    artifact_uri = models.TextField(blank=True)
    params = models.JSONField(default=dict)
    metrics = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)
    dag_run_id = models.CharField(max_length=250, blank=True, db_index=True)
    gone_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [
            models.Index("experiment", Coalesce("started_at", EARLIEST).desc(), name="runs_by_experiment")
        ]

    def __str__(self) -> str:
        return self.name or self.run_id

    @property
    def state(self) -> str:
        """MLflow's status in the words that the pages use."""
        return {"FINISHED": "success", "KILLED": "cancelled", "SCHEDULED": "queued"}.get(
            self.status, self.status.lower()
        )

    @property
    def duration(self) -> timedelta | None:
        """How long it took, or has taken so far; None where that is not known.

        A run may have ended without saying when: MLflow writes no time for `update_run(status="FINISHED")`.
        """
        if self.started_at is None or (self.ended_at is None and self.status not in GOING_ON):
            return None
        return max((self.ended_at or timezone.now()) - self.started_at, timedelta())


class RegisteredModel(models.Model):
    """A model by name, who approves its promotions, and where MLflow's alias `champion` points."""

    name = models.CharField(max_length=256, unique=True)
    description = models.TextField(blank=True)
    policy = models.CharField(max_length=12, choices=Policy.choices, default=Policy.PERSON)
    alias_version = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(null=True)
    gone_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("models:model-detail", args=[self.name])


class ModelVersion(models.Model):
    """One version: what it was made from, what the gate found, and how it is served."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="versions")
    version = models.PositiveIntegerField()
    run_id = models.CharField(max_length=64, blank=True, db_index=True)
    source = models.TextField(blank=True)
    state = models.CharField(max_length=12, choices=VersionState.choices, default=VersionState.CANDIDATE)
    is_overridden = models.BooleanField(default=False)
    override_reason = models.TextField(blank=True)
    is_conclusive = models.BooleanField(null=True)
    is_demo = models.BooleanField(default=False)
    registered_at = models.DateTimeField(null=True)
    registered_by = models.TextField(blank=True)
    description = models.TextField(blank=True)
    gone_at = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    archive_reason = models.TextField(blank=True)

    dag_run_id = models.CharField(max_length=250, blank=True, db_index=True)
    git_sha = models.CharField(max_length=64, blank=True)
    data_sha256 = models.CharField(max_length=64, blank=True)
    data_source = models.CharField(max_length=20, blank=True)
    holdout_sha256 = models.CharField(max_length=64, blank=True)
    reference_sha256 = models.CharField(max_length=64, blank=True)
    missing_artefacts = models.JSONField(default=list)

    spec_json = models.TextField(blank=True)  # byte for byte what the pipeline attached
    primary_metric = models.CharField(max_length=40, blank=True)
    metrics = models.JSONField(default=dict)  # on the hold-out, as scored by the gate
    serve_as = models.CharField(max_length=8, choices=ServeAs.choices, blank=True)
    serve_reason = models.TextField(blank=True)
    missing_as = models.JSONField(default=dict)  # what the original takes for missing text, by column
    served_sha256 = models.CharField(max_length=64, blank=True)
    size_bytes = models.BigIntegerField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["model", "version"], name="one_row_a_version"),
            models.UniqueConstraint(
                fields=["model"], condition=Q(state=VersionState.CHAMPION), name="one_champion_a_model"
            ),
            models.CheckConstraint(
                condition=Q(state=VersionState.ARCHIVED, archived_at__isnull=False)
                | (~Q(state=VersionState.ARCHIVED) & Q(archived_at__isnull=True)),
                name="archived_says_since_when",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model.name} v{self.version}"

    def get_absolute_url(self) -> str:
        return reverse("models:version-detail", args=[self.model.name, self.version])

    @property
    def spec(self) -> dict[str, Any]:
        """The specification as data; empty until one was found that has the shape of one."""
        try:
            found = parsed(self.spec_json)
            msgspec.convert(found, Spec)
        except (msgspec.DecodeError, RecursionError):
            return {}
        return dict(found)

    @property
    def score(self) -> float | None:
        """The primary metric on the hold-out, once the gate has scored the version."""
        return self.metrics.get(self.primary_metric)

    @property
    def was_served(self) -> bool:
        """Whether it is or was champion."""
        return self.state in {VersionState.CHAMPION, VersionState.RETIRED}

    @property
    def last_verdict(self) -> "GateRun | None":
        """The gate that the version's state rests on; one that came to no verdict changed nothing."""
        return self.gates.filter(state__in=VERDICTS).order_by("-pk").first()

    @property
    def trouble(self) -> "ServingTrouble | None":
        """Why serving refuses it, by the process that spoke last; only a champion has any."""
        return max(self.troubles.all(), key=lambda row: row.last_seen_at, default=None)

    def move_to(self, state: str) -> None:
        """Take the step, unsaved; the caller holds the row. Raises Conflict when there is no such step."""
        check_step(VERSION_STEPS, self.state, state, self)
        self.state = state


class WithHashes(models.Model):
    """SHA-256 of the files that a row speaks of: what the gate judged, and nothing else, by that name.

    served_sha256: of the compiled model, or of the original's folder where the runner serves it.
    """

    served_sha256 = models.CharField(max_length=64, blank=True)
    reference_sha256 = models.CharField(max_length=64, blank=True)
    holdout_sha256 = models.CharField(max_length=64, blank=True)
    spec_sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        abstract = True

    @property
    def hashes(self) -> dict[str, str]:
        """By field; empty text where a file was never judged."""
        return {name: getattr(self, name) for name in HASHES}


class GateRun(WithHashes, Deliverable):
    """One judgement of a version, asked for by somebody and made by a worker."""

    # A worker that lives renews it while it scores; a dead one's work is taken over when it ends.
    lease_s = 30

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="gates")
    state = models.CharField(max_length=10, choices=GateState.choices, default=GateState.REQUESTED)
    requested_by = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    crashes = models.PositiveSmallIntegerField(default=0)
    checks = models.JSONField(default=list)
    is_conclusive = models.BooleanField(null=True)
    reason = models.TextField(blank=True)
    champion_version = models.PositiveIntegerField(null=True)
    holdout_rows = models.PositiveIntegerField(null=True)
    metrics = models.JSONField(default=dict)  # of candidate, baseline and champion on the same hold-out
    isolation = models.CharField(max_length=60, blank=True)
    seconds = models.FloatField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["version"], condition=Q(state__in=OPEN_GATES), name="one_open_gate_a_version"
            ),
        ]

    def __str__(self) -> str:
        return f"gate of {self.version}"

    def get_absolute_url(self) -> str:
        """The page of its version, which shows it."""
        return self.version.get_absolute_url()

    @property
    def is_open(self) -> bool:
        """Whether the verdict is still to come."""
        return self.state in OPEN_GATES


class PromotionRequest(WithHashes):
    """Somebody asks to make a version the champion; somebody else, or the model's policy, decides.

    Its hashes are those of the gate that it rests on: with other files it is another request.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="requests")
    state = models.CharField(max_length=10, choices=RequestState.choices, default=RequestState.REQUESTED)
    reason = models.TextField()
    requested_by = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(default=_a_while_from_now)
    decided_by = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="+", null=True)
    is_by_policy = models.BooleanField(default=False)
    decided_at = models.DateTimeField(null=True)
    decision_reason = models.TextField(blank=True)
    delivered_at = models.DateTimeField(null=True)  # MLflow has the alias

    class Meta:
        ordering: ClassVar = ["-requested_at", "-pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["version"],
                condition=Q(state=RequestState.REQUESTED),
                name="one_open_request_a_version",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[RequestState.APPROVED, RequestState.REJECTED])
                | Q(is_by_policy=True, decided_by__isnull=True)
                | (Q(is_by_policy=False, decided_by__isnull=False) & ~Q(decided_by=F("requested_by"))),
                name="nobody_decides_their_own_request",
            ),
        ]

    def __str__(self) -> str:
        return f"promotion of {self.version}"

    def get_absolute_url(self) -> str:
        """The page of its version, where it is decided."""
        return self.version.get_absolute_url()

    @property
    def is_open(self) -> bool:
        """Whether it waits for a decision."""
        return self.state == RequestState.REQUESTED

    def move_to(self, state: str) -> None:
        """Take the step, unsaved; the caller holds the row. Raises Conflict when it is settled already."""
        check_step(REQUEST_STEPS, self.state, state, self)
        self.state = state


class ChampionPeriod(WithHashes, Deliverable):
    """The ledger: who was champion from when until when, by whose decision. Delivered is MLflow's alias.

    end_reason: why it ended where nobody followed.
    """

    class Kind(models.TextChoices):
        PROMOTION = "promotion"
        ROLLBACK = "rollback"

    model = models.ForeignKey(RegisteredModel, on_delete=models.PROTECT, related_name="periods")
    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="periods")
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PROMOTION)
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True)
    by = models.ForeignKey(USER, on_delete=models.PROTECT, related_name="+", null=True)
    is_by_policy = models.BooleanField(default=False)
    reason = models.TextField(blank=True)
    end_reason = models.TextField(blank=True)
    request = models.OneToOneField(
        PromotionRequest, on_delete=models.PROTECT, null=True, related_name="period"
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["model"], condition=Q(until__isnull=True), name="one_open_period_a_model"
            ),
            models.CheckConstraint(
                condition=Q(until__isnull=True) | Q(until__gte=F("since")),
                name="a_period_ends_after_it_began",
            ),
            models.CheckConstraint(
                condition=Q(is_by_policy=True, by__isnull=True)
                | Q(is_by_policy=False, by__isnull=False)
                | Q(is_by_policy=False, by__isnull=True, kind="rollback"),
                name="a_period_names_who_decided",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} since {self.since:%Y-%m-%d %H:%M}"

    @property
    def decided_by(self) -> str:
        """A person, the model's policy, or the console itself, which only goes back; as REST says it."""
        if self.by is not None:
            return self.by.get_username()
        return "policy: automatic" if self.is_by_policy else "the console"

    @property
    def decider(self) -> str:
        """The same for pages."""
        words = {"policy: automatic": _("policy: automatic"), "the console": _("the console")}
        return words.get(self.decided_by, self.decided_by)


class ServingTrouble(models.Model):
    """A serving process cannot load the champion, and why. The row goes once it can.

    answers: the version that answers there meanwhile; None when none does.
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="troubles")
    process = models.CharField(max_length=200)
    reason = models.TextField()
    answers = models.PositiveIntegerField(null=True)
    since = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["version", "process"], name="one_trouble_a_process"),
        ]

    def __str__(self) -> str:
        return f"{self.version} is not served by {self.process}"

    @property
    def what_answers(self) -> str:
        """Beside the champion of the ledger, what callers get."""
        if self.answers is None:
            return _("nothing answers")
        return _("v%(version)s still answers") % {"version": self.answers}
