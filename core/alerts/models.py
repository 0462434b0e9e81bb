"""Alerts with the steps that each one took, and the channels by which people and systems are told of them."""

from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from core.alerts.facts import Fact, rows
from core.alerts.states import UNRESOLVED, ChannelKind, DeliveryState, Event, Severity, State, check_step
from core.lib.ids import uuid7
from core.lib.outbox import Deliverable

FIRST_RETRY_S: Final = 10
LONGEST_RETRY_S: Final = 1800
GIVE_UP_AFTER: Final = timedelta(hours=24)
MOST_AT_ONCE: Final = 200  # alerts that one call acknowledges


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
        return rows(self.facts, rule=self.rule)

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


def day_from_now() -> datetime:
    """When a notification that is made now is given up."""
    return timezone.now() + GIVE_UP_AFTER


class Channel(models.Model):
    """Where notifications go: by e-mail to people, or by webhook to another system.

    An alert goes there when it is as severe as `severity` or worse, one of the globs of `rules` fits its rule
    and one of `subjects` its subject; no globs fit all.
    """

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=ChannelKind.choices)
    is_active = models.BooleanField(default=True)
    url = models.TextField(blank=True)
    recipients = models.JSONField(default=list)
    # Sealed by `sealing`: the console must sign with it, and nobody reads it again.
    sealed_secret = models.TextField(blank=True)
    # The one before, which signs too for a while after a change.
    sealed_previous = models.TextField(blank=True)
    previous_until = models.DateTimeField(null=True)
    severity = models.CharField(max_length=10, choices=Severity.choices, default=Severity.WARNING)
    rules = models.JSONField(default=list)
    subjects = models.JSONField(default=list)
    most_per_minute = models.PositiveSmallIntegerField(default=10)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(most_per_minute__gt=0), name="a_channel_says_something"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("alerts:channel-detail", args=[self.pk])

    @property
    def target(self) -> str:
        """Where it goes, for everybody: of a webhook the host alone, as paths and queries hold tokens."""
        if self.kind == ChannelKind.EMAIL:
            return ", ".join(self.recipients)
        parts = urlsplit(self.url)
        has_more = parts.path not in ("", "/") or parts.query
        return f"{parts.scheme}://{parts.netloc}/{'…' if has_more else ''}"

    def wants(self, alert: Alert) -> bool:
        """Whether notifications of the alert go there."""
        ranks = Severity.values
        is_severe = ranks.index(alert.severity) <= ranks.index(self.severity)
        return is_severe and _fits(alert.rule, self.rules) and _fits(alert.subject, self.subjects)


def _fits(text: str, globs: list[str]) -> bool:
    return not globs or any(fnmatchcase(text, glob) for glob in globs)


class Delivery(Deliverable):
    """One notification on its way through one channel; its id is the same at every try.

    payload: what is sent. is_held: the channel has said enough this minute; the row waits to be gathered.
    took_ms: of the latest try, none while that goes on. refused: of an e-mail that others have got, the
    addresses that the server did not take; it is tried for them alone.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    alert = models.ForeignKey(Alert, on_delete=models.SET_NULL, null=True, related_name="deliveries")
    event = models.CharField(max_length=12, choices=Event.choices)
    payload = models.JSONField()
    state = models.CharField(max_length=12, choices=DeliveryState.choices, default=DeliveryState.PENDING)
    is_held = models.BooleanField(default=False)
    gathered_in = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="gathered")
    created_at = models.DateTimeField(default=timezone.now)
    tried_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    give_up_at = models.DateTimeField(default=day_from_now)
    # Of the latest try; an e-mail has no status.
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True)
    took_ms = models.PositiveIntegerField(null=True)
    refused = models.JSONField(default=list, db_default=[])

    lease_s: ClassVar[int] = 60

    class Meta:
        ordering: ClassVar = ["-created_at", "-pk"]
        verbose_name = "notification"
        indexes: ClassVar = [
            models.Index(fields=["channel", "-created_at"], name="deliveries_of_channel"),
            models.Index(fields=["channel", "tried_at"], name="deliveries_tried"),
            models.Index(fields=["ended_at"], name="deliveries_ended"),
            # What pages, metrics and each turn of a channel ask for, whatever the length of its log.
            models.Index(
                fields=["channel", "created_at"],
                condition=Q(state=DeliveryState.PENDING),
                name="deliveries_pending",
            ),
            models.Index(
                fields=["channel", "ended_at"],
                condition=Q(state=DeliveryState.FAILED),
                name="deliveries_failed",
            ),
            models.Index(
                fields=["channel", "ended_at"],
                condition=Q(state=DeliveryState.DELIVERED),
                name="deliveries_delivered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel_id} {self.event} {self.pk}"

    @property
    def is_past_its_first_try(self) -> bool:
        """Whether sending it again means anything: else it is on its way, or just being tried."""
        waits = bool(self.delivery_error) and self.took_ms is not None
        return self.state != DeliveryState.PENDING or waits

    def end(self, state: str, **values: Any) -> None:
        """Nothing is left to do."""
        done = {
            "state": state,
            "ended_at": timezone.now(),
            "next_attempt_at": None,
            "is_held": False,
            **values,
        }
        for name, value in done.items():
            setattr(self, name, value)
        self.save(update_fields=list(done))

    def mark_retry(self, error: str) -> None:
        """Try again after twice as long each time, half an hour at most; the last time at `give_up_at`.

        One that gathers is given up with the oldest of those it stands for; the younger ones go on.
        """
        now = timezone.now()
        doublings = min(max(self.delivery_attempts - 1, 0), 10)
        next_at = now + timedelta(seconds=min(FIRST_RETRY_S * 2**doublings, LONGEST_RETRY_S))
        self.took_ms = self.took_ms or 0
        if now >= self.give_up_at:
            self.end(DeliveryState.FAILED, delivery_error=error, took_ms=self.took_ms)
            self._let_go(error, next_at)
            return
        # With one a minute, each with its own end, the ends would come as often.
        self.next_attempt_at = next_at if self.event == Event.GATHERED else min(next_at, self.give_up_at)
        self.delivery_error = error
        self.save(update_fields=["next_attempt_at", "delivery_error", "took_ms"])

    def _let_go(self, error: str, next_at: datetime) -> None:
        """Those whose time is not over wait again, as often tried as this one was."""
        young = self.gathered.filter(give_up_at__gt=timezone.now()).exclude(event=Event.GATHERED)
        young.update(
            state=DeliveryState.PENDING,
            is_held=True,
            gathered_in=None,
            ended_at=None,
            next_attempt_at=next_at,
            delivery_attempts=self.delivery_attempts,
            delivery_error=error,
            status=self.status,
            took_ms=self.took_ms,
            refused=self.refused,
        )
