"""The one place where the champion changes: closes a period, opens the next, and tells who serves."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from core.access.models import User
from core.audit.actions import record
from core.lib import live
from core.lib import redis as console_redis
from models_registry import troubles
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
    version: ModelVersion, *, by: User | None, reason: str, kind: str, request: PromotionRequest | None = None
) -> ChampionPeriod:
    """Make `version` the champion, with the files that were approved. The caller holds the model's row.

    by: None for the model's policy, which promotes, and for the console itself, which only goes back.
    """
    now = _now(version.model)
    former = ModelVersion.objects.filter(model=version.model, state=VersionState.CHAMPION).first()
    if former is not None:
        former.move_to(VersionState.RETIRED)
        former.save(update_fields=["state"])
    version.move_to(VersionState.CHAMPION)
    version.save(update_fields=["state"])
    approved = request or version.periods.order_by("since", "pk").last()
    ChampionPeriod.objects.filter(model=version.model, until=None).update(until=now)
    period = ChampionPeriod.objects.create(
        model=version.model,
        version=version,
        kind=kind,
        since=now,
        by=by,
        is_by_policy=by is None and kind == ChampionPeriod.Kind.PROMOTION,
        reason=reason,
        request=request,
        **(approved.hashes if approved else {}),
    )
    after = {
        "champion": version.version,
        "reason": reason,
        "decided_by": period.decided_by,
        "served_sha256": period.served_sha256,
    }
    before = {"champion": former.version if former else None}
    record(f"model.{kind}", version.model, by=by, before=before, after=after)
    troubles.forget(version.model)
    announce(version.model.name, version.version, *([former.version] if former else []))
    transaction.on_commit(lambda: _wake_serving(version.model.name))
    return period


def end(period: ChampionPeriod, *, by: User | None, reason: str) -> None:
    """Close the open period with nobody after it. The caller holds the model's row."""
    version = ModelVersion.objects.select_for_update().get(pk=period.version_id)
    version.move_to(VersionState.RETIRED)
    version.save(update_fields=["state"])
    period.until = period.next_attempt_at = _now(period.model)
    period.end_reason, period.delivery_error = reason, ""
    period.save(update_fields=["until", "next_attempt_at", "end_reason", "delivery_error"])
    before, after = {"champion": version.version}, {"champion": None, "reason": reason}
    record("model.end_champion", period.model, by=by, before=before, after=after)
    troubles.forget(period.model)
    model_name = period.model.name
    announce(model_name, version.version)
    transaction.on_commit(lambda: _wake_serving(model_name))


def _now(model: RegisteredModel) -> datetime:
    """Not before the newest period began: another machine's clock, which wrote that, may be ahead of ours."""
    newest = model.periods.aggregate(newest=Max("since"))["newest"]
    now = timezone.now()
    return max(now, newest) if newest else now


def previous_champion(model: RegisteredModel) -> ModelVersion | None:
    """Whom a rollback makes champion: the one before, leaving out all that were rolled back from.

    Where nobody is champion now it is the last one that was.
    """
    return before_the_last(_periods(model))


def champions_before_demonstrations(model: RegisteredModel) -> list[ModelVersion]:
    """Those on the pile under its top that are no demonstration's, the last one first."""
    former = [version for version in _pile(_periods(model))[:-1] if not version.is_demo]
    return [version for version in reversed(former) if _may_return(version)]


def before_the_last(periods: Iterable[ChampionPeriod]) -> ModelVersion | None:
    """The version under the top of the pile that can be champion again."""
    return next(iter(_former(list(periods))), None)


def stand_in(model: RegisteredModel) -> ChampionPeriod | None:
    """When whoever may answer for a champion that is refused was champion last; None where nobody may.

    That is whom a rollback would make champion. One that ended with nobody after it was wrong, so it does not
    answer, nor does an older one; a demonstration's answers for a demonstration's alone.
    """
    rows = list(_periods(model))
    if not rows or rows[-1].until is not None:
        return None
    is_demo = rows[-1].version.is_demo
    version = next((one for one in _former(rows) if is_demo or not one.is_demo), None)
    last = next((period for period in reversed(rows) if period.version == version), None)
    return last if last is not None and not last.end_reason else None


def _former(rows: Sequence[ChampionPeriod]) -> list[ModelVersion]:
    """Those on the pile who can be champion again, but for the champion of now; the last one first."""
    pile = _pile(rows)
    if rows and rows[-1].until is None:
        pile = [version for version in pile[:-1] if version != pile[-1]]
    return [version for version in reversed(pile) if _may_return(version)]


def _periods(model: RegisteredModel) -> Iterable[ChampionPeriod]:
    rows = model.periods.order_by("since", "pk").select_related("version__model")
    return rows.defer("version__spec_json", "version__metrics")


def _may_return(version: ModelVersion) -> bool:
    return version.state != VersionState.ARCHIVED and version.gone_at is None


def _pile(periods: Iterable[ChampionPeriod]) -> list[ModelVersion]:
    """Champions, the last on top: promotions pile up, a rollback takes off what came after."""
    pile: list[ModelVersion] = []
    for period in periods:
        if period.kind == ChampionPeriod.Kind.ROLLBACK and period.version in pile:
            del pile[pile.index(period.version) :]
        pile.append(period.version)
    return pile


def announce(model_name: str, *versions: int) -> None:
    """Tell open pages, after commit, that versions of this model changed."""
    live.publish("models", [model_name])
    live.publish(f"model:{model_name}", versions)
    live.publish("promotions", [model_name])


def _wake_serving(model_name: str) -> None:
    """A message saves seconds; should it be lost, serving finds out by its own slow poll."""
    try:
        console_redis.client().publish(CHANNEL, model_name)
    except console_redis.RedisError as error:
        log.warning("champions.not_announced", model=model_name, error=str(error))
