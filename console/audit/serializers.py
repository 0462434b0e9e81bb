"""An entry of the audit trail, as REST shows it."""

from typing import ClassVar

from rest_framework import serializers

from console.audit.models import AuditEntry


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
