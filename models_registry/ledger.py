"""The one place where the champion changes: closes a period, opens the next, and tells who serves."""

from collections.abc import Iterable
from typing import Any

import redis
import structlog
from django.db import transaction
from django.utils import timezone

from console.audit.actions import record
from console.lib import live
from console.lib import redis as console_redis
from models_registry.models import ChampionPeriod, ModelVersion, PromotionRequest, RegisteredModel
from models_registry.states import VersionState

log = structlog.get_logger(__name__)

CHANNEL = "champions"


def locked(model_name: str) -> RegisteredModel:
    """The model's row, held until the transaction ends: all decisions about one model go one after another.

    Raises RegisteredModel.DoesNotExist.
    """
    return RegisteredModel.objects.select_for_update().get(name=model_name)


def crown(
    version: ModelVersion, *, by: Any, reason: str, kind: str, request: PromotionRequest | None = None
) -> ChampionPeriod:
    """Make `version` the champion. The caller holds the model's row; `by` None means the model's policy."""
    now = timezone.now()
    former = ModelVersion.objects.filter(model=version.model, state=VersionState.CHAMPION).first()
    if former is not None:
        former.move_to(VersionState.RETIRED)
        former.save(update_fields=["state"])
    version.move_to(VersionState.CHAMPION)
    version.save(update_fields=["state"])
    ChampionPeriod.objects.filter(model=version.model, until=None).update(until=now)
    period = ChampionPeriod.objects.create(
        model=version.model,
        version=version,
        kind=kind,
        since=now,
        by=by,
        is_by_policy=by is None,
        reason=reason,
        request=request,
    )
    after = {"champion": version.version, "reason": reason, "decided_by": _decider(by)}
    before = {"champion": former.version if former else None}
    record(f"model.{kind}", version.model, by=by, before=before, after=after)
    announce(version.model.name, version.version, *([former.version] if former else []))
    transaction.on_commit(lambda: _wake_serving(version.model.name))
    return period


def previous_champion(model: RegisteredModel) -> ModelVersion | None:
    """Whom a rollback makes champion: the one before, leaving out all that were rolled back from."""
    return before_the_last(model.periods.order_by("since", "pk").select_related("version__model"))


def before_the_last(periods: Iterable[ChampionPeriod]) -> ModelVersion | None:
    """The version under the top of the pile: promotions pile up, a rollback takes off what came after."""
    pile: list[ModelVersion] = []
    for period in periods:
        if period.kind == ChampionPeriod.Kind.ROLLBACK and period.version in pile:
            del pile[pile.index(period.version) :]
        pile.append(period.version)
    below = [version for version in pile[:-1] if version != pile[-1]]
    return below[-1] if below else None


def announce(model_name: str, *versions: int) -> None:
    """Tell open pages, after commit, that versions of this model changed."""
    live.publish("models", [model_name])
    live.publish(f"model:{model_name}", versions)
    live.publish("promotions", [model_name])


def _decider(by: Any) -> str:
    return by.get_username() if by is not None else "policy: automatic"


def _wake_serving(model_name: str) -> None:
    """A message saves seconds; should it be lost, serving finds out by its own slow poll."""
    try:
        console_redis.client().publish(CHANNEL, model_name)
    except redis.RedisError as error:
        log.warning("champions.not_announced", model=model_name, error=str(error))
