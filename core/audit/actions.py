"""Writing the audit trail: call `record` inside the transaction of what it records."""

from django.db import models

from core.audit.actors import Actor, actor_name
from core.audit.models import AuditEntry
from core.lib import context, storable


def record(
    action: str,
    obj: models.Model | str,
    *,
    by: Actor,
    before: dict | None = None,
    after: dict | None = None,
    upstream_id: str = "",
) -> AuditEntry:
    """Add a row: `by` (a user, None for the console itself) did `action` on `obj`.

    obj: a row, or a name where the truth lives in a service. before, after: the values that changed.
    upstream_id: what the service calls the outcome, such as Airflow's run id.
    """
    if isinstance(obj, models.Model):
        object_type, object_id = obj._meta.label_lower, str(obj.pk)
    else:
        object_type, object_id = action.partition(".")[0], obj
    return AuditEntry.objects.create(
        actor_id=getattr(by, "pk", None),
        actor_name=actor_name(by),
        token_name=getattr(by, "token_name", ""),
        action=action,
        object_type=object_type,
        object_id=storable.text(object_id)[:200],
        object_label=storable.text(str(obj))[:250],
        before=storable.everything(before),
        after=storable.everything(after),
        remote_addr=context.remote_addr.get() or None,
        request_id=context.request_id.get(),
        upstream_id=upstream_id[:250],
    )
