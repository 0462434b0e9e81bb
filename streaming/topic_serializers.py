"""The shape of changes of topics and groups over REST."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from core.lib import edge
from core.lib.errors import InvalidRequest
from core.lib.rest import StrictSerializer
from streaming import reading, settings_help
from streaming.kafka_types import Setting
from streaming.outgoing import LARGEST_PARTITION, MOST_MESSAGES, NewMessageSerializer
from streaming.resetting import Goal
from streaming.serializers import GroupSerializer, TopicSerializer

MOST_SETTINGS = 100
LONGEST_VALUE = 10_000


def results(name: str, serializer: Any) -> Any:
    """The shape of a list that is one page."""
    return inline_serializer(name, {"results": serializer, "next": serializers.URLField(allow_null=True)})


@extend_schema_field(
    {"oneOf": [{"type": kind} for kind in ("string", "number", "boolean")], "nullable": True}
)
class SettingValueField(serializers.Field):
    """A setting's value as Kafka has it, text; numbers and booleans may be written as such."""

    def to_internal_value(self, data: Any) -> str:
        """Raises ValidationError for lists and objects."""
        match data:
            case bool():
                return str(data).lower()
            case int() | float():
                return str(data)
            case str() if len(data) <= LONGEST_VALUE:
                return data
        raise serializers.ValidationError(_("Write a text, a number, or true or false."))

    def to_representation(self, value: str) -> str:
        """As it is."""
        return value


def _settings(**options: Any) -> serializers.DictField:
    return serializers.DictField(child=SettingValueField(**options), required=False, default=dict)


def _check_number(config: dict[str, Any]) -> dict[str, Any]:
    if len(config) > MOST_SETTINGS:
        raise serializers.ValidationError(_("Write at most %(n)d settings.") % {"n": MOST_SETTINGS})
    return config


class NewTopicSerializer(StrictSerializer):
    name = serializers.CharField(max_length=1000)
    n_partitions = serializers.IntegerField(
        min_value=1, max_value=LARGEST_PARTITION, required=False, default=1
    )
    replication_factor = serializers.IntegerField(
        min_value=1,
        max_value=2**15 - 1,
        allow_null=True,
        required=False,
        default=None,
        help_text="null: the brokers' default.",
    )
    config = _settings()

    def validate_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """Not without end."""
        return _check_number(config)


class TopicChangeSerializer(StrictSerializer):
    n_partitions = serializers.IntegerField(
        min_value=1,
        max_value=LARGEST_PARTITION,
        required=False,
        help_text="How many there are then; never fewer than now. Keys move.",
    )
    config = _settings(allow_null=True)

    def validate_config(self, config: dict[str, Any]) -> dict[str, Any]:
        """Not without end."""
        return _check_number(config)


class ChangedTopicSerializer(TopicSerializer):
    warnings = serializers.ListField(child=serializers.CharField())


class SettingSerializer(serializers.Serializer):
    """source: who says the value, topic, broker or default. default: once the topic says none itself."""

    name = serializers.CharField()
    value = serializers.CharField(allow_null=True, help_text="null where Kafka hides it.")
    source = serializers.ChoiceField(  # type: ignore[assignment]  # a field of this name is meant
        choices=["topic", "broker", "default"]
    )
    default = serializers.CharField(allow_null=True)
    is_sensitive = serializers.BooleanField()
    is_read_only = serializers.BooleanField()
    help = serializers.SerializerMethodField()  # type: ignore[assignment]  # a field of this name is meant
    docs_url = serializers.SerializerMethodField()

    def get_help(self, setting: Setting) -> str:
        """A sentence; empty where only Kafka's pages say more."""
        return settings_help.help_of(setting.name)

    def get_docs_url(self, setting: Setting) -> str:
        """Kafka's own page."""
        return settings_help.docs_of(setting.name)


class PurgeSerializer(StrictSerializer):
    """Either `offsets` or `all`."""

    offsets = serializers.DictField(
        child=serializers.IntegerField(min_value=0, max_value=edge.LARGEST),
        required=False,
        allow_empty=False,
        help_text="By partition the offset before which messages are deleted.",
    )
    all = serializers.BooleanField(required=False, default=False)

    def validate_offsets(self, offsets: dict[str, int]) -> dict[int, int]:
        """By number of the partition."""
        if unknown := [key for key in offsets if not (key.isascii() and key.isdecimal() and len(key) < 10)]:
            raise serializers.ValidationError(_("“%(key)s” is no partition.") % {"key": unknown[0][:50]})
        return {int(key): offset for key, offset in offsets.items()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One of the two: what is left out by mistake must not purge everything."""
        if ("offsets" in attrs) == attrs["all"]:
            raise serializers.ValidationError({"offsets": [_("Give offsets, or all: one of them.")]})
        return attrs


class PurgedSerializer(serializers.Serializer):
    partition = serializers.IntegerField()
    low = serializers.IntegerField(allow_null=True, help_text="The first offset there is now.")
    error = serializers.CharField(help_text="Why it is not purged; empty when it is.")


class NewMessagesSerializer(StrictSerializer):
    messages = serializers.ListField(child=serializers.JSONField(), min_length=1, max_length=MOST_MESSAGES)


class NewMessagesShape(serializers.Serializer):
    """As it is documented; each message is checked for itself, so that one's fault is its own."""

    messages = serializers.ListField(child=NewMessageSerializer(), min_length=1, max_length=MOST_MESSAGES)


class OutcomeSerializer(serializers.Serializer):
    partition = serializers.IntegerField(allow_null=True)
    offset = serializers.IntegerField(allow_null=True)
    error = serializers.CharField(help_text="Why it is not sent; empty when it is.")
    is_unknown = serializers.BooleanField(help_text="Not confirmed in time: it may be there, or arrive yet.")


class ProducedSerializer(serializers.Serializer):
    """One outcome for each message, in their order."""

    results = OutcomeSerializer(many=True)
    n_sent = serializers.IntegerField()


class MemberSerializer(serializers.Serializer):
    id = serializers.CharField()
    client_id = serializers.CharField()
    host = serializers.CharField()
    instance_id = serializers.CharField()
    assigned = serializers.SerializerMethodField()

    @extend_schema_field(
        inline_serializer(
            "Assigned",
            {"topic": serializers.CharField(), "partition": serializers.IntegerField()},
            many=True,
        )
    )
    def get_assigned(self, member: Any) -> list[dict[str, Any]]:
        """What it reads."""
        return [{"topic": topic, "partition": number} for topic, number in member.assigned]


class GroupDetailSerializer(GroupSerializer):
    members = MemberSerializer(many=True)


@extend_schema_field(OpenApiTypes.STR)
class GoalField(serializers.Field):
    """earliest, latest, a time, or an offset, which may be a number."""

    def to_internal_value(self, data: Any) -> Goal:
        """Raises ValidationError."""
        if isinstance(data, bool) or not isinstance(data, str | int):
            raise serializers.ValidationError(_("Write earliest, latest, a time or an offset."))
        try:
            return reading.goal(str(data)[:100])
        except InvalidRequest as error:
            raise serializers.ValidationError(error.message) from error

    def to_representation(self, value: Goal) -> str:
        """Never answered."""
        return value.kind


class ResetSerializer(StrictSerializer):
    """Either `to` or `shift_by`."""

    topic = serializers.CharField(max_length=1000)
    partitions = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=LARGEST_PARTITION),
        required=False,
        allow_null=True,
        default=None,
        min_length=1,
        max_length=10_000,
        help_text="null: all of the topic.",
    )
    to = GoalField(required=False, help_text="earliest, latest, a time, or an offset.")
    shift_by = serializers.IntegerField(
        min_value=-edge.LARGEST, max_value=edge.LARGEST, required=False, help_text="Back where negative."
    )
    dry_run = serializers.BooleanField(required=False, default=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """The goal of both."""
        if ("to" in attrs) == ("shift_by" in attrs):
            raise serializers.ValidationError({"to": [_("Give to, or shift_by: one of them.")]})
        goal = attrs["to"] if "to" in attrs else Goal("shift", attrs["shift_by"])
        return {
            "topic": attrs["topic"],
            "partitions": attrs["partitions"],
            "goal": goal,
            "is_dry_run": attrs["dry_run"],
        }


class MoveSerializer(serializers.Serializer):
    partition = serializers.IntegerField()
    before = serializers.IntegerField(allow_null=True, help_text="null: the group has no offset there.")
    after = serializers.IntegerField(allow_null=True, help_text="null: it stays as it is.")
    low = serializers.IntegerField(
        allow_null=True, help_text="The first offset that the partition holds; null while nobody tells it."
    )
    end = serializers.IntegerField(allow_null=True)
    lag_messages = serializers.IntegerField(allow_null=True, help_text="How far behind it is then.")
    note = serializers.CharField(help_text="Why `after` is not what was asked for; else empty.")


class ResetDoneSerializer(serializers.Serializer):
    """blocked: why it cannot be done now, as a dry run finds it."""

    group = serializers.CharField()
    topic = serializers.CharField()
    is_dry_run = serializers.BooleanField()
    blocked = serializers.CharField()
    moves = MoveSerializer(many=True)
