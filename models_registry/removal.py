"""Taking away what the demonstration decided: its champion ends, its versions are archived, for good."""

import time

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from core.access.models import User
from core.lib.errors import Conflict
from models_registry import retiring
from models_registry.models import ChampionPeriod, GateRun, ModelVersion, PromotionRequest
from models_registry.states import OPEN_GATES, VersionState

ALIAS_WITHIN_S = 60
LOOKS_EVERY_S = 1.0


def remove_demo() -> int:
    """End its champions, archive its versions, delete its requests and periods; returns how many versions.

    Raises Conflict while a gate is at work or MLflow has not heard of the end: what is done by then stays
    done, and the next call goes on.
    """
    reason = _("The demonstration was removed.")
    n_archived = 0
    for version in ModelVersion.objects.filter(is_demo=True).select_related("model"):
        n_archived += _put_aside(version, reason)
    _wait_for_mlflow()
    _delete_decisions()
    return n_archived


def _put_aside(version: ModelVersion, reason: str) -> bool:
    """Two steps, each for itself: MLflow is asked in between."""
    name = version.model.name
    version = ModelVersion.objects.select_related("model").get(pk=version.pk)
    if version.state == VersionState.ARCHIVED:
        return False
    if version.state == VersionState.CHAMPION:
        retiring.end_champion(name, reason=reason, by=None)
    retiring.archive(name, version.version, reason=reason, by=None)
    return True


def _wait_for_mlflow() -> None:
    """The ended periods carry the wish to take the alias off, so they stay until that is done."""
    deadline = time.monotonic() + ALIAS_WITHIN_S
    waiting = ChampionPeriod.objects.filter(version__is_demo=True, next_attempt_at__isnull=False)
    while waiting.exists():
        if time.monotonic() > deadline:
            raise Conflict(
                _("MLflow has not taken the champion's alias off yet. Are it and the worker running?")
            )
        time.sleep(LOOKS_EVERY_S)


@transaction.atomic
def _delete_decisions() -> None:
    """Of demonstration users about demonstration versions: what they did stays in the audit trail."""
    people = User.objects.filter(is_demo=True)
    of_demo = Q(version__is_demo=True)
    asked = PromotionRequest.objects.filter(of_demo).filter(
        Q(requested_by__in=people) | Q(decided_by__in=people)
    )
    ChampionPeriod.objects.filter(of_demo).filter(Q(by__in=people) | Q(request__in=asked)).delete()
    asked.delete()
    GateRun.objects.filter(of_demo, requested_by__in=people).exclude(state__in=OPEN_GATES).delete()
