"""Writing the audit trail: call `record` inside the transaction of what it records."""

import math
from typing import Any

from django.db import models

from core.audit.actors import Actor, actor_name
from core.audit.models import AuditEntry
from core.lib import context


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
        object_id=_storable(object_id)[:200],
        object_label=_storable(str(obj))[:250],
        before=_storable(before),
        after=_storable(after),
        remote_addr=context.remote_addr.get() or None,
        request_id=context.request_id.get(),
        upstream_id=upstream_id[:250],
    )


def _storable(value: Any) -> Any:
    """The value as PostgreSQL takes it: no NUL and no half character in text, no NaN or infinity in JSON."""
    match value:
        case str():
            return value.encode(errors="replace").decode().replace("\x00", "\N{REPLACEMENT CHARACTER}")
        case float() if not math.isfinite(value):
            return str(value)
        case dict():
            return {_storable(key): _storable(item) for key, item in value.items()}
        case list() | tuple():
            return [_storable(item) for item in value]
    return value
