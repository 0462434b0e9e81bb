"""What people change: the rules by which a model is watched."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit import actions as audit
from core.lib import live
from core.lib.errors import InvalidRequest
from models_registry import queries as registry
from predictions.drift import queries, watches
from predictions.models import DriftRules, DriftWatch, DriftWindow

SCOPE = "drift.rules"


@transaction.atomic
def change_rules(model: str, *, by: User, **changes: Any) -> DriftRules:
    """Change some of a model's rules; they hold from the next window on. Raises NotFound, InvalidRequest."""
    policy.check(by, SCOPE, model)
    DriftRules.objects.get_or_create(model=queries.known(model))
    rules = DriftRules.objects.select_for_update().get(model=model)
    before = {name: getattr(rules, name) for name in changes}
    for name, value in changes.items():
        setattr(rules, name, value)
    _check(rules)
    if changes == before:
        return rules
    if rules.is_watched and not before.get("is_watched", True):
        _go_on_from_now(model)
    rules.changed_at, rules.changed_by = timezone.now(), by.get_username()
    rules.save()
    audit.record("drift.rules", model, by=by, before=before, after=changes)
    live.publish("drift", [model])
    return rules


def _check(rules: DriftRules) -> None:
    try:
        rules.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        errors = [
            {"field": field, "message": message}
            for field, messages in error.message_dict.items()
            for message in messages
        ]
        raise InvalidRequest(_("The rules cannot be used."), errors=errors) from error


def _go_on_from_now(model: str) -> None:
    """What came while nobody watched is not judged afterwards, whoever became champion meanwhile."""
    champion = registry.champion(model)
    if champion is not None:
        watches.of(champion)
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM predictions_arrival")
        DriftWatch.objects.filter(model=model).update(bookmark=cursor.fetchone()[0])


def remove_demo() -> int:
    """The demonstration's windows and watches, once its predictions are gone; how many windows went."""
    DriftWatch.objects.filter(is_demo=True).delete()
    n_windows, _by_model = DriftWindow.objects.filter(is_demo=True).delete()
    return n_windows
