"""The shape of topics, streams, windows, dead letters and replays over REST."""

import base64
import codecs
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.lib.rest import StrictSerializer
from core.lib.topics import TOPIC_NAME
from streaming import queries
from streaming.kafka_types import Read
from streaming.models import (
    STREAM_NAME,
    Anomaly,
    DeadLetter,
    DeadTally,
    Replay,
    RuleState,
    Stream,
    Times,
    Window,
)

LONGEST_VALUE = 16 * 1024  # characters of one message; more is cut, and said


class PartitionSerializer(serializers.Serializer):
    number = serializers.IntegerField()
    low = serializers.IntegerField(allow_null=True, help_text="null while nobody tells the offsets.")
    high = serializers.IntegerField(allow_null=True)
    leader = serializers.IntegerField()
    n_replicas = serializers.IntegerField()
    n_in_sync = serializers.IntegerField()


class TopicSerializer(serializers.Serializer):
    name = serializers.CharField()
    n_messages = serializers.IntegerField()
    partitions = PartitionSerializer(many=True)


class GroupLagSerializer(serializers.Serializer):
    topic = serializers.CharField()
    partition = serializers.IntegerField()
    committed = serializers.IntegerField()
    end = serializers.IntegerField(allow_null=True)
    lag_messages = serializers.IntegerField(
        allow_null=True, help_text="null while nobody tells where the partition ends."
    )
    member = serializers.CharField(
        help_text="The client that reads the partition now; empty while none does."
    )


class GroupSerializer(serializers.Serializer):
    name = serializers.CharField()
    state = serializers.CharField()
    n_members = serializers.IntegerField(allow_null=True)
    lag_messages = serializers.IntegerField(allow_null=True)
    problem = serializers.CharField(
        help_text="Why n_members or lag_messages is null, as when the coordinator is away, or that the group"
        " stands where its topic holds nothing; else empty."
    )
    offsets = GroupLagSerializer(many=True)


class TextOrBytes(serializers.Serializer):
    """Text where it is UTF-8, else base64. Long ones are cut."""

    encoding = serializers.ChoiceField(choices=["utf-8", "base64"])
    content = serializers.CharField()
    size_bytes = serializers.IntegerField()
    is_cut = serializers.BooleanField()


class HeaderSerializer(serializers.Serializer):
    name = serializers.CharField()
    value = TextOrBytes(allow_null=True)


class MessageSerializer(serializers.Serializer):
    partition = serializers.IntegerField()
    offset = serializers.IntegerField()
    at_ms = serializers.IntegerField(allow_null=True)
    key = TextOrBytes(allow_null=True)
    value = TextOrBytes(allow_null=True)
    headers = HeaderSerializer(many=True)
    has_odd_names = serializers.BooleanField(
        help_text="Whether it has headers whose names are no UTF-8: then none is shown."
    )


def shown(data: bytes | None, size_bytes: int = 0, *, longest: int = LONGEST_VALUE) -> dict[str, Any] | None:
    """Bytes of a message as `TextOrBytes`, at most `longest` characters of them.

    size_bytes: of the whole, where only its beginning is at hand.
    """
    if data is None:
        return None
    size_bytes = max(size_bytes, len(data))
    has_all = size_bytes == len(data)
    try:  # the last character may be cut through
        content, encoding = codecs.getincrementaldecoder("utf-8")().decode(data, final=has_all), "utf-8"
    except UnicodeDecodeError:
        content, encoding = base64.b64encode(data).decode("ascii"), "base64"
    is_cut = not has_all or len(content) > longest
    return {
        "encoding": encoding,
        "content": content[:longest],
        "size_bytes": size_bytes,
        "is_cut": is_cut,
    }


def message(read: Read) -> dict[str, Any]:
    """A message of a topic as `MessageSerializer`."""
    return {
        "partition": read.partition,
        "offset": read.offset,
        "at_ms": read.at_ms,
        "key": shown(read.key, read.key_bytes),
        "value": shown(read.value, read.value_bytes),
        "headers": [{"name": name, "value": shown(value)} for name, value in read.headers],
        "has_odd_names": read.has_odd_names,
    }


class RuleStateSerializer(serializers.ModelSerializer):
    """unjudged: accepted events that the rule passed over, by reason."""

    class Meta:
        model = RuleState
        fields: ClassVar = ["n_judged", "n_hits", "unjudged", "waits_for", "waits_since", "began_at"]
        read_only_fields = fields


class GapSerializer(serializers.Serializer):
    """Messages of a partition that were gone before they were counted."""

    partition = serializers.IntegerField()
    n_messages = serializers.IntegerField(source="n_gone", help_text="At most so many.")
    at = serializers.DateTimeField(source="gone_at", help_text="When that was met last.")


class DeadTallySerializer(serializers.ModelSerializer):
    """Dead letters of one reason that are counted and not kept: so many of them are kept already."""

    class Meta:
        model = DeadTally
        fields: ClassVar = ["reason", "n", "last_at"]
        read_only_fields = fields


class StreamSerializer(serializers.ModelSerializer):
    dead_topic = serializers.CharField(read_only=True)
    rule_state = serializers.SerializerMethodField(help_text="Null where there is no anomaly rule.")
    dead_tallies = DeadTallySerializer(many=True, read_only=True)
    gaps = serializers.SerializerMethodField(help_text="By partition; empty where nothing was missed.")

    class Meta:
        model = Stream
        fields: ClassVar = [
            "name",
            "topic",
            "dead_topic",
            "description",
            "definition",
            "rule_state",
            "gaps",
            "dead_tallies",
            "revision",
            "is_builtin",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    @extend_schema_field(GapSerializer(many=True))
    def get_gaps(self, row: Stream) -> Any:
        return GapSerializer(queries.gaps(row), many=True).data

    @extend_schema_field(RuleStateSerializer(allow_null=True))
    def get_rule_state(self, row: Stream) -> dict[str, Any] | None:
        state = getattr(row, "rule_state", None)
        return RuleStateSerializer(state).data if state is not None else None


class NewStreamSerializer(StrictSerializer):
    name = serializers.RegexField(rf"\A{STREAM_NAME}\Z")
    topic = serializers.RegexField(rf"\A{TOPIC_NAME}\Z")
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True, default="")
    definition = serializers.DictField()


class StreamChangeSerializer(StrictSerializer):
    description = serializers.CharField(max_length=1000, required=False, allow_blank=True)
    definition = serializers.DictField(required=False)


class WindowSerializer(serializers.ModelSerializer):
    class Meta:
        model = Window
        fields: ClassVar = ["start", "group", "count", "measures", "updated_at"]
        read_only_fields = fields


class DeadLetterSerializer(serializers.ModelSerializer):
    """Without what the message holds: that needs `messages.read`, and is in the dead topic."""

    redrive_error = serializers.CharField(
        read_only=True, help_text="Why it is not sent again; asking once more starts anew."
    )
    redrive_waits_for = serializers.CharField(
        read_only=True, help_text="Why the last try to send it again failed, while others follow."
    )
    redrive_attempts = serializers.IntegerField(source="delivery_attempts", read_only=True)
    n_headers_left_out = serializers.IntegerField(
        read_only=True, help_text="Headers that are not kept: sent again, the message lacks them."
    )

    class Meta:
        model = DeadLetter
        fields: ClassVar = [
            "id",
            "topic",
            "partition",
            "offset",
            "reason",
            "size_bytes",
            "is_cut",
            "n_headers_left_out",
            "at",
            "dead_partition",
            "dead_offset",
            "is_sent",
            "send_error",
            "redrive_asked_at",
            "redriven_at",
            "redrive_error",
            "redrive_waits_for",
            "redrive_attempts",
        ]
        read_only_fields = fields


class AnomalySerializer(serializers.ModelSerializer):
    """Without what the message holds: that needs `messages.read`, and is in `<topic>.anomalies`."""

    line = serializers.IntegerField(
        read_only=True,
        help_text="Of a message that holds several events, from 1; 0 where it holds this one alone.",
    )

    class Meta:
        model = Anomaly
        fields: ClassVar = [
            "id",
            "topic",
            "partition",
            "offset",
            "line",
            "rule",
            "observed",
            "expected",
            "limit",
            "group",
            "event_at",
            "at",
            "prediction_id",
            "is_sent",
            "send_error",
        ]
        read_only_fields = fields


class ReplaySerializer(serializers.ModelSerializer):
    requested_by: serializers.SlugRelatedField = serializers.SlugRelatedField(
        slug_field="username", read_only=True
    )

    class Meta:
        model = Replay
        fields: ClassVar = [
            "id",
            "source",
            "topic",
            "rate",
            "speed",
            "times",
            "state",
            "n_sent",
            "n_total",
            "n_skipped",
            "is_stop_asked",
            "error",
            "requested_by",
            "requested_at",
            "started_at",
            "ended_at",
        ]
        read_only_fields = fields


class NewReplaySerializer(StrictSerializer):
    """Either `rate` (events a second) or `speed` (× event time)."""

    source = serializers.CharField(  # type: ignore[assignment]  # a field of this name is what is meant
        max_length=500,
        help_text="Path inside the data or the output folder; a relative one is of the data folder.",
    )
    rate = serializers.FloatField(required=False, min_value=0.01, max_value=100_000)
    speed = serializers.FloatField(required=False, min_value=0.01, max_value=1_000_000)
    topic = serializers.RegexField(rf"\A{TOPIC_NAME}\Z", required=False, default="")
    times = serializers.ChoiceField(choices=Times.choices, required=False, default=Times.AUTO)
