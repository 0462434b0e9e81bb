"""The way back: a former champion returns, if MLflow still holds the files that were approved."""

from collections.abc import Iterable

import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib.errors import Conflict, Unauthorized, Unavailable
from core.lib.templatetags import numbers
from models_registry import gateway, intact, ledger, tasks
from models_registry.holding import checked_reason, held_model
from models_registry.models import ChampionPeriod, ModelVersion, RegisteredModel

log = structlog.get_logger(__name__)


def rollback(
    model_name: str, *, reason: str, by: User, to: int | None = None, expected: int | None = None
) -> ChampionPeriod:
    """Make the champion before this one champion again; its gate stands.

    to, expected: the version that the person wants back, and the one taken to be champion now. A call that
    names neither goes back from a promotion only: sent twice it does not go back twice.
    Raises Conflict when that is not so any more, or when the files of the former champion are others by now.
    """
    policy.check(by, "models.decide", model_name)
    reason = checked_reason(reason)
    with transaction.atomic():
        chosen = _returning(held_model(model_name), to=to, expected=expected)
    check_files(chosen)
    with transaction.atomic():
        version = _returning(held_model(model_name), to=to or chosen.version, expected=expected)
        return crown_again(version, reason=reason, by=by)


def crown_again(version: ModelVersion, *, reason: str, by: User | None) -> ChampionPeriod:
    """Make a former champion champion. The caller holds the model's row."""
    held = ModelVersion.objects.select_for_update().get(pk=version.pk)
    held.model = version.model
    period = ledger.crown(held, by=by, reason=reason, kind=ChampionPeriod.Kind.ROLLBACK)
    tasks.deliver_alias.delay_on_commit(str(period.pk))
    return period


def check_files(version: ModelVersion) -> None:
    """Raises Conflict when serving would refuse them.

    The way back does not wait for MLflow: while it is away, or refuses the console, serving checks them, and
    tells of it.
    """
    approved = version.periods.latest("since", "pk").hashes
    served = {name: approved[name] for name in intact.SERVED}
    try:
        intact.check(gateway.connect(), version, served, serve_as=version.serve_as)
    except (Unavailable, Unauthorized) as error:
        log.warning("rollback.files_not_checked", version=str(version), error=error.message)


def without_their_files(versions: Iterable[ModelVersion]) -> list[ModelVersion]:
    """Those that cannot return because their files are others, up to the first that can."""
    lost = []
    for version in versions:
        try:
            check_files(version)
        except Conflict as error:
            log.warning("rollback.files_are_others", version=str(version), error=error.message)
            lost.append(version)
        else:
            break
    return lost


def _returning(model: RegisteredModel, *, to: int | None, expected: int | None) -> ModelVersion:
    now = model.periods.filter(until=None).select_related("version", "by").first()
    former = ledger.previous_champion(model)
    if expected is not None and (now is None or now.version.version != expected):
        raise Conflict(_not_expected(model, now, expected))
    if to is None and expected is None and now is not None and now.kind == ChampionPeriod.Kind.ROLLBACK:
        raise Conflict(_went_back_already(model, now))
    if former is None:
        raise Conflict(_("%(model)s has no earlier champion to go back to.") % {"model": model})
    if to is not None and former.version != to:
        raise Conflict(_("The champion has changed meanwhile. Look at the page again, then decide."))
    former.model = model
    return former


def _not_expected(model: RegisteredModel, now: ChampionPeriod | None, expected: int) -> str:
    found = f"v{now.version.version}" if now else _("nobody")
    words = _("The champion of %(model)s is %(found)s, not v%(expected)s as you expected. Nothing was done.")
    return words % {"model": model, "found": found, "expected": expected}


def _went_back_already(model: RegisteredModel, now: ChampionPeriod) -> str:
    words = _(
        "%(model)s went back to v%(version)s at %(at)s already, by %(who)s. To go back further, say that you"
        " expect v%(version)s to be champion."
    )
    at = numbers.absolute(now.since)
    return words % {"model": model, "version": now.version.version, "at": at, "who": now.decider}
