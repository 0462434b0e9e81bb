"""Who did what, on which object, before and after, from where; and the seals over it. Both only grow."""

from typing import ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone

from core.lib import demo, json_out


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
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder, decoder=json_out.RowDecoder)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder, decoder=json_out.RowDecoder)
    remote_addr = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True, db_index=True)
    upstream_id = models.CharField(max_length=250, blank=True)

    class Meta:
        ordering: ClassVar = ["-at", "-pk"]
        indexes: ClassVar = [models.Index(fields=["object_type", "object_id"], name="audit_by_object")]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.object_label}"

    @property
    def is_demo(self) -> bool:
        """Whether a user of the demonstration did it; by name, since those users go."""
        return self.actor_name in demo.NAMES


class AuditSeal(models.Model):
    """One link of the chain: what the entries up to `up_to_id` that no earlier seal holds were, by hash.

    The trigger refuses changes here too; who switches it off breaks the chain, and `verify_audit` says where.
    """

    number = models.BigIntegerField(primary_key=True)
    previous = models.CharField(max_length=64, unique=True)  # the hash before: no two seals follow the same
    up_to_id = models.BigIntegerField(unique=True)
    n_entries = models.PositiveIntegerField()
    manifest = models.BinaryField()  # id and hash of each entry, see `digest`
    sealed_at = models.DateTimeField()
    hash = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(number__gte=1), name="seals_count_from_one"),
            models.CheckConstraint(condition=models.Q(n_entries__gte=1), name="a_seal_holds_entries"),
        ]

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"
