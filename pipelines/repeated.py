"""A call for a run that comes again because nobody answered the first: it finds the run that it made.

`core.lib.idempotency` gives the first answer again. When the process died between the run's row and that
answer there is none: then the id of the run, which is made from the caller's key, tells.
"""

from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from django.utils import timezone
from django.utils.translation import gettext as _

from core.access.models import User
from core.audit.models import AuditEntry
from core.lib import idempotency
from core.lib.errors import InvalidRequest
from pipelines import actions, starting
from pipelines.models import Run


def trigger_once(dag_id: str, key: str, *, by: User, **given: Any) -> Run:
    """`actions.trigger_run`, or the run that the same call with this `Idempotency-Key` made in the last day.

    Raises what `trigger_run` raises, and InvalidRequest for a key that was used for other settings.
    """
    if not key or given.get("dag_run_id"):
        return actions.trigger_run(dag_id, by=by, **given)
    dag_run_id = f"console__{uuid5(NAMESPACE_URL, f'{by.pk} {dag_id} {key}')}"
    earlier = Run.objects.filter(dag_id=dag_id, dag_run_id=dag_run_id).first()
    if earlier is None:
        return actions.trigger_run(dag_id, by=by, **{**given, "dag_run_id": dag_run_id})
    if timezone.now() - earlier.created_at > timedelta(seconds=idempotency.KEPT_S):
        return actions.trigger_run(dag_id, by=by, **given)  # the key is free again
    times = {name: given.get(name) for name in starting.TIMES}
    key_of_partition = given.get("partition_key", "")
    unpause = given.get("unpause", False)
    asked = actions.as_asked(
        given["conf"], given["note"], partition_key=key_of_partition, unpause=unpause, **times
    )
    if _asked(earlier) != asked:
        raise InvalidRequest(
            _("This Idempotency-Key was used for another call. Take a new key for each different call.")
        )
    return earlier


def _asked(run: Run) -> dict[str, Any] | None:
    """What the call was that made it: the row's own note and conf may be other ones by now."""
    entries = AuditEntry.objects.filter(object_type=Run._meta.label_lower, object_id=str(run.pk))
    return entries.filter(action="run.trigger").values_list("after", flat=True).first()
