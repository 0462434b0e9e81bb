"""Writing the audit trail: call `record` inside the transaction of what it records."""

from typing import Any

from django.db import models

from console.audit.models import AuditEntry
from console.lib import context


def record(
    action: str,
    obj: models.Model | str,
    *,
    by: Any,
    before: dict | None = None,
    after: dict | None = None,
    upstream_id: str = "",
) -> AuditEntry:
    """Add a row: `by` (a user, None for the console itself) did `action` on `obj`.

    obj: a row, or a name where the truth lives in a service. before, after: the values that changed.
    upstream_id: what the service calls the outcome, such as Airflow's run id.
    """
    is_row = isinstance(obj, models.Model)
    return AuditEntry.objects.create(
        actor_id=getattr(by, "pk", None),
        actor_name=by.get_username() if by is not None else "system",
        token_name=getattr(by, "token_name", ""),
        action=action,
        object_type=obj._meta.label_lower if is_row else action.partition(".")[0],
        object_id=str(obj.pk if is_row else obj)[:200],
        object_label=str(obj)[:250],
        before=before,
        after=after,
        remote_addr=context.remote_addr.get() or None,
        request_id=context.request_id.get(),
        upstream_id=upstream_id,
    )
