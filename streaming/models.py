"""Rows: streams and what they counted, how far they have read, what did not fit, replays of files."""

import secrets
from functools import cached_property
from typing import ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from core.lib.outbox import Deliverable
from core.lib.topics import LONGEST_TOPIC, TOPIC_NAME, side_topic_name
from streaming import definition as definitions

STREAM_NAME = r"[a-z][a-z0-9_-]{0,62}"


def dead_topic_name(topic: str, mark: str = ".") -> str:
    """Where messages that do not fit go."""
    return side_topic_name(topic, "dead", mark)


class KafkaMark(models.Model):
    """One row: what the console's transactional ids, and its groups that hold numbers, bear in Kafka.

    They hold ids of rows, which another database has too: with a mark of its own nobody takes the numbers
    of an earlier database for its own. Empty where they were in use before there were marks; a restore
    takes the row away, and the first who needs one makes another.
    """

    mark = models.CharField(max_length=32, blank=True)

    def __str__(self) -> str:
        return self.mark

    @classmethod
    def of(cls, name: str) -> str:
        """The name with the mark in front."""
        row, _is_new = cls.objects.get_or_create(pk=1, defaults={"mark": secrets.token_hex(6)})
        return f"{row.mark}-{name}" if row.mark else name


class Stream(models.Model):
    """A stream definition. `revision` counts its changes; `shape` is the one since which windows add up."""

    name = models.CharField(max_length=63, unique=True, validators=[RegexValidator(rf"\A{STREAM_NAME}\Z")])
    topic = models.CharField(max_length=LONGEST_TOPIC, validators=[RegexValidator(rf"\A{TOPIC_NAME}\Z")])
    description = models.TextField(blank=True, max_length=1000)
    definition = models.JSONField()
    revision = models.PositiveIntegerField(default=1)
    shape = models.PositiveIntegerField(default=1)
    is_builtin = models.BooleanField(default=False)
    # False where another consumer of the topic puts aside what does not fit, with the bytes.
    has_dead_topic = models.BooleanField(default=True)
    # Where the usual name cannot be had.
    other_dead_topic = models.CharField(max_length=LONGEST_TOPIC, blank=True, default="")
    # Which topic the offsets are of: one that is deleted and made anew has another id and starts at 0.
    topic_id = models.CharField(max_length=40, blank=True, default="")
    topic_renewed_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("streams:stream-detail", args=[self.name])

    @cached_property
    def parsed(self) -> definitions.Definition:
        """The definition as the code uses it; what is stored has been checked."""
        return definitions.parse(self.definition)

    @property
    def usable(self) -> definitions.Definition | None:
        """None where an older release stored what this one does not read: pages open all the same."""
        try:
            return self.parsed
        except definitions.DefinitionError:
            return None

    @property
    def dead_topic(self) -> str:
        """Where messages that do not fit go."""
        return self.other_dead_topic or dead_topic_name(self.topic)


class Window(models.Model):
    """What was counted in one window of one group. stats: what `measures` is worked out from."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="windows")
    shape = models.PositiveIntegerField()
    start = models.DateTimeField()
    group = models.CharField(max_length=200, blank=True)
    count = models.BigIntegerField()
    measures = models.JSONField()
    stats = models.JSONField()
    updated_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["stream", "shape", "start", "group"], name="window_once"),
            models.CheckConstraint(condition=Q(count__gt=0), name="window_counts"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.start:%Y-%m-%d %H:%M:%S} {self.group}"


class StreamOffset(models.Model):
    """How far one partition has been counted, saved in the transaction of the windows."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="offsets")
    partition = models.PositiveIntegerField()
    next_offset = models.BigIntegerField()
    newest_event_at = models.DateTimeField(null=True)
    # Offsets that the partition no longer had when they were to be counted, and when that was met last.
    n_gone = models.PositiveBigIntegerField(default=0, db_default=0)
    gone_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["stream", "partition"], name="stream_offset_once")
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.partition}: {self.next_offset}"


class DeadLetter(Deliverable):
    """A message that is in no window, and why. `payload` is kept until the dead topic has the bytes,
    and where there is none of refused lines alone, whose message holds others that were counted.

    It is a wish once somebody asks to send it again, and only then.
    """

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="dead_letters")
    topic = models.CharField(max_length=LONGEST_TOPIC)
    topic_id = models.CharField(max_length=40, blank=True, default="")
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    reason = models.CharField(max_length=400)
    size_bytes = models.PositiveIntegerField()
    preview = models.TextField(blank=True)
    key = models.BinaryField(null=True)
    # Of the message, as `ledger.Headers` in MessagePack; null for none, or once the dead topic has them.
    headers = models.BinaryField(null=True)
    # Those that nothing keeps: there was no room for them.
    n_headers_left_out = models.PositiveIntegerField(default=0)
    payload = models.BinaryField(null=True)
    # Which ones of a message the payload is, from 1, where its others were counted; null for a whole message.
    lines = models.JSONField(null=True)
    is_null = models.BooleanField(default=False)
    # Key or value were larger than what is kept: `size_bytes` is of the whole value.
    is_cut = models.BooleanField(default=False)
    at = models.DateTimeField()
    dead_partition = models.PositiveIntegerField(null=True)
    dead_offset = models.BigIntegerField(null=True)
    is_sent = models.BooleanField(default=False)
    # Why the dead topic never takes it: the bytes stay in this row.
    send_error = models.CharField(max_length=300, blank=True, default="")
    redrive_asked_at = models.DateTimeField(null=True)
    redriven_at = models.DateTimeField(null=True)
    next_attempt_at = models.DateTimeField(null=True, default=None)

    # Several calls of a transaction may take 20 s each; who comes later fences who came first.
    lease_s = 120

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stream", "topic", "topic_id", "partition", "offset"], name="dead_letter_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["stream", "id"], condition=Q(is_sent=False), name="dead_letter_to_send"),
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="dead_letter_to_redrive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.partition}:{self.offset}"

    def get_absolute_url(self) -> str:
        """The page that lists it."""
        return reverse("streams:dead-letter-list", args=[self.stream.name])

    def mark_refused(self, error: str) -> None:
        """It will not be sent again; the words say why."""
        self.next_attempt_at, self.delivery_error = None, error
        self.save(update_fields=["next_attempt_at", "delivery_error"])

    @property
    def redrive_error(self) -> str:
        """Why sending it again failed for good; empty while it is under way, sent or not asked for."""
        is_over = self.next_attempt_at is None and self.redriven_at is None
        return self.delivery_error if is_over else ""

    @property
    def redrive_waits_for(self) -> str:
        """Why the last try to send it again failed, while others follow; empty before one failed."""
        return self.delivery_error if self.next_attempt_at is not None else ""


class DeadTally(models.Model):
    """Dead letters of one reason that are counted only: so many are rows already. reason: without numbers."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="dead_tallies")
    reason = models.CharField(max_length=400)
    n = models.PositiveBigIntegerField()
    last_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["stream", "reason"], name="dead_tally_once")]

    def __str__(self) -> str:
        return f"{self.stream} {self.n}: {self.reason}"


class Unjudged(models.TextChoices):
    """Why the anomaly rule did not judge an accepted event."""

    NO_VALUE = "no_value", _("no value in the field")
    TOO_FEW = "too_few", _("too few events before it")
    NO_SPREAD = "no_spread", _("the events before it do not vary")
    UNFIT = "unfit", _("it does not fit the model")
    BEHIND = "behind", _("too many waited for the model")
    FAILED = "failed", _("it could not be judged")
    GONE = "gone", _("its message was gone from the topic")


class RuleState(models.Model):
    """How far the anomaly rule of a stream has judged, saved in the transaction of what it found.

    positions: the next offset of each partition. values: the last ones of `robust_z`, as float64.
    waits_for: why it judges nothing at the moment; empty while it does.
    """

    stream = models.OneToOneField(Stream, on_delete=models.CASCADE, related_name="rule_state")
    topic_id = models.CharField(max_length=40)
    positions = models.JSONField(default=dict)
    values = models.BinaryField(default=bytes)
    n_judged = models.BigIntegerField(default=0)
    n_hits = models.BigIntegerField(default=0)
    unjudged = models.JSONField(default=dict)
    waits_for = models.TextField(blank=True, default="")
    waits_since = models.DateTimeField(null=True)
    # Where the usual name of `<topic>.anomalies` cannot be had.
    other_topic = models.CharField(max_length=LONGEST_TOPIC, blank=True, default="")
    last_hit_at = models.DateTimeField(null=True)
    # Whether an alert stands for the hits of late.
    is_episode = models.BooleanField(default=False)
    n_episode_hits = models.BigIntegerField(default=0)
    began_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.stream}: {self.n_judged}"

    @property
    def n_unjudged(self) -> int:
        """Accepted events that the rule passed over, for whatever reason."""
        return sum(self.unjudged.values())

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why they were passed over, in words, and how many; the most frequent first."""
        labels = dict(Unjudged.choices)
        pairs = [(str(labels.get(reason, reason)), n) for reason, n in self.unjudged.items()]
        return sorted(pairs, key=lambda pair: -pair[1])


def place(partition: int, offset: int, line: int) -> str:
    """Of an event in its topic: partition:offset, and of a message of several events the line, from 1."""
    return f"{partition}:{offset}:{line}" if line else f"{partition}:{offset}"


class Anomaly(models.Model):
    """An event above the limit of the rule. `payload` holds the message for the topic until that has it.

    line: of a message that holds several events, from 1; 0 where it holds this one alone.
    observed, expected, limit: in the unit of the rule's field; a threshold expects nothing.
    prediction_id: of the recorded prediction that was asked for.
    """

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="anomalies")
    topic = models.CharField(max_length=LONGEST_TOPIC)
    topic_id = models.CharField(max_length=40)
    partition = models.PositiveIntegerField()
    offset = models.BigIntegerField()
    line = models.PositiveIntegerField(default=0, db_default=0)
    rule = models.JSONField()
    observed = models.FloatField()
    expected = models.FloatField(null=True)
    limit = models.FloatField()
    group = models.CharField(max_length=200, blank=True)
    event_at = models.DateTimeField()
    at = models.DateTimeField(db_index=True)
    prediction_id = models.CharField(max_length=40, blank=True, default="")
    payload = models.BinaryField(null=True)
    is_sent = models.BooleanField(default=False)
    send_error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["stream", "topic", "topic_id", "partition", "offset", "line"], name="anomaly_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["stream", "id"], condition=Q(is_sent=False), name="anomaly_to_send"),
            models.Index(fields=["stream", "-id"], name="anomaly_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.place}"

    @property
    def place(self) -> str:
        """Where its event is in the topic."""
        return place(self.partition, self.offset, self.line)


class ReplayState(models.TextChoices):
    REQUESTED = "requested", _("requested")
    RUNNING = "running", _("running")
    DONE = "done", _("done")
    STOPPED = "stopped", _("stopped")
    FAILED = "failed", _("failed")


class Times(models.TextChoices):
    """Which event times the messages of a replay carry."""

    AUTO = "auto", _("moved; squeezed when sent quicker than life")
    MOVED = "moved", _("moved: the first is now, distances kept")
    SENT = "sent", _("the moment of sending")
    KEPT = "kept", _("as in the file")


class Replay(Deliverable):
    """A file sent to a topic, line by line. `n_sent` lines are safe in Kafka and will not be sent again."""

    lease_s = 15

    source = models.CharField(max_length=500)
    topic = models.CharField(max_length=LONGEST_TOPIC)
    rate = models.FloatField(null=True)  # events a second
    speed = models.FloatField(null=True)  # or seconds of event time a second
    times = models.CharField(max_length=10, choices=Times.choices, default=Times.AUTO)
    state = models.CharField(max_length=12, choices=ReplayState.choices, default=ReplayState.REQUESTED)
    n_sent = models.PositiveBigIntegerField(default=0)
    n_total = models.PositiveBigIntegerField(null=True)
    n_skipped = models.PositiveIntegerField(default=0)
    shift_s = models.FloatField(null=True)
    is_stop_asked = models.BooleanField(default=False)
    is_demo = models.BooleanField(default=False)
    error = models.TextField(blank=True)
    # Of the call that asked for it, for a day; empty where it had none.
    idempotency_key = models.CharField(max_length=200, blank=True, default="", db_default="")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(rate__gt=0, speed=None) | Q(rate=None, speed__gt=0), name="replay_rate_or_speed"
            ),
            models.UniqueConstraint(
                fields=["requested_by", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="one_replay_by_key",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} → {self.topic}"

    def get_absolute_url(self) -> str:
        """The page that lists it."""
        return reverse("streams:replay-list")

    @property
    def is_open(self) -> bool:
        """Whether it still sends, or will."""
        return self.state in (ReplayState.REQUESTED, ReplayState.RUNNING)

    @property
    def share_sent(self) -> float:
        """Lines dealt with, of all, 0..1."""
        return self.n_sent / self.n_total if self.n_total else 0.0
