"""Who did what, on which object, before and after, from where. A trigger lets rows only be added."""

from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone


class AuditEntry(models.Model):
    """One action. The actor is kept by name too, because users can go while rows stay."""

    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor_id = models.BigIntegerField(null=True)
    actor_name = models.CharField(max_length=150, db_index=True)
    token_name = models.CharField(max_length=100, blank=True)
    action = models.CharField(max_length=60, db_index=True)
    object_type = models.CharField(max_length=60)
    object_id = models.CharField(max_length=200)
    object_label = models.CharField(max_length=250, blank=True)
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder)
    remote_addr = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True, db_index=True)
    upstream_id = models.CharField(max_length=250, blank=True)

    class Meta:
        ordering: ClassVar = ["-at", "-pk"]
        indexes: ClassVar = [models.Index(fields=["object_type", "object_id"], name="audit_by_object")]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.object_label}"
