"""What people do with their predictions: say what turned out to be true, and erase."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import edge, json_bodies, live
from core.lib.errors import Conflict, InvalidRequest, NotFound
from predictions import queries
from predictions.ingestion import LOCK
from predictions.models import ErasedPrediction, Prediction
from scoring import values
from scoring.language import Field
from scoring.spec import Spec
from scoring.words import plain


@transaction.atomic
def label_prediction(id_: uuid.UUID, *, actual: Any, by: User, spec: Spec | None) -> Prediction:
    """Note what turned out to be true. spec: of the version that answered, where it is known.

    Raises NotFound, Conflict while the prediction is being recorded, InvalidRequest for an impossible value.
    """
    found = _own(id_, by)
    found.actual = _checked_actual(actual, found, spec)
    found.actual_by = by.get_username()
    found.actual_at = timezone.now()
    found.save(update_fields=["actual", "actual_by", "actual_at"])
    audit.record("prediction.label", found, by=by, after={"actual": found.actual})
    live.publish("predictions")
    return found


@transaction.atomic
def erase_prediction(id_: uuid.UUID, *, by: User) -> None:
    """Delete the row for good and remember its id. Raises NotFound, Conflict."""
    with connection.cursor() as cursor:  # before the row, in the order in which the recorder takes both
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    found = _own(id_, by)
    ErasedPrediction.objects.create(
        id=found.pk, model=found.model, user_id=found.user_id, erased_by=by.get_username()
    )
    audit.record("prediction.erase", found, by=by)
    found.delete()
    live.publish("predictions")


@transaction.atomic
def remove_demo() -> int:
    """Delete the demonstration's predictions and remember their ids; returns how many."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute(_ERASE_DEMO, [timezone.now()])
    n_rows, _by_model = Prediction.objects.filter(is_demo=True).delete()
    live.publish("predictions")
    return n_rows


_ERASE_DEMO = f"""
INSERT INTO {ErasedPrediction._meta.db_table} (id, model, user_id, erased_by, erased_at)
SELECT id, model, user_id, username, %s FROM {Prediction._meta.db_table} WHERE is_demo
ON CONFLICT (id) DO NOTHING
"""  # noqa: S608 - table names are the models' own


def _own(id_: uuid.UUID, by: User) -> Prediction:
    policy.check(by, "predict")
    seen = queries.prediction(id_, by=by)
    if seen is None:
        raise Conflict(_("This prediction is still being recorded. Try again in a moment."))
    if seen.user_id != by.pk:
        raise NotFound(_("Only the person who made a prediction may change it."))
    return Prediction.objects.select_for_update().get(pk=id_)


def _checked_actual(actual: Any, found: Prediction, spec: Spec | None) -> int | float | str:
    """One of the classes, by value or text, or a number; both are read as a model's inputs are."""
    if words := json_bodies.fault(actual):
        raise edge.refused("actual", words)
    if spec is not None and spec.class_values:
        return _class(actual, spec.class_values)
    if isinstance(found.value, str):  # a class, of a version that nobody knows any more
        return str(actual)
    try:
        given = values.from_text(_NUMBER, actual) if isinstance(actual, str) else actual
        return float(values.normalise(_NUMBER, given))  # type: ignore[arg-type]
    except values.ValueFault as error:
        message = _("actual must be a number.")
        raise InvalidRequest(message, errors=[{"field": "actual", "message": message}]) from error


_NUMBER = Field(name="actual", type="number")


def _class(actual: Any, known: Sequence[int | str]) -> int | str:
    """Data frames write class 1 as 1.0 where a value is missing, and as true where there are two."""
    text = plain(actual) if isinstance(actual, float) else str(actual)
    for value in known:
        if actual == value or text == str(value):
            return value
    message = _("actual must be one of %(known)s.") % {"known": ", ".join(map(str, known))}
    raise InvalidRequest(message, errors=[{"field": "actual", "message": message}])
