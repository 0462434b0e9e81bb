"""Entries of the audit trail and the head of its seals, as REST shows them."""

from typing import ClassVar

from rest_framework import serializers

from core.audit.models import AuditEntry


class EntrySerializer(serializers.ModelSerializer):
    """One action; `before` and `after` hold the values that changed."""

    actor = serializers.CharField(source="actor_name", read_only=True)
    token = serializers.CharField(source="token_name", read_only=True)

    class Meta:
        model = AuditEntry
        fields: ClassVar = [
            "id",
            "at",
            "actor",
            "token",
            "action",
            "object_type",
            "object_id",
            "object_label",
            "before",
            "after",
            "remote_addr",
            "request_id",
            "upstream_id",
        ]
        read_only_fields = fields


class HeadSerializer(serializers.Serializer):
    """The newest seal. Note it elsewhere: `verify_audit --head NUMBER:HASH` looks for it later."""

    number = serializers.IntegerField()
    hash = serializers.CharField()
    up_to_id = serializers.IntegerField()
    sealed_at = serializers.DateTimeField()


class ChainSerializer(serializers.Serializer):
    """How far the trail is sealed; `head` is null while nothing is."""

    head = HeadSerializer(allow_null=True)
    n_waiting = serializers.IntegerField()
