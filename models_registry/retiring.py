"""The click's half where a version's life ends: archive and unarchive it, end a champion."""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit.actions import record
from core.lib.errors import Conflict
from models_registry import ledger, returning, tasks, withdrawing
from models_registry.holding import checked_reason, held_model, held_version
from models_registry.models import ChampionPeriod, ModelVersion, RegisteredModel
from models_registry.states import OPEN_GATES, VersionState


@transaction.atomic
def archive(model_name: str, version: int, *, reason: str, by: User | None) -> ModelVersion:
    """Put the version aside: lists leave it out, and nobody can have it judged, promoted or rolled back to.

    An open request for its promotion is withdrawn. by: None for the console itself.
    """
    if by is not None:
        policy.check(by, "models.archive", model_name)
    reason = checked_reason(reason)
    row = held_version(model_name, version)
    _check_may_archive(row)
    before = row.state
    row.move_to(VersionState.ARCHIVED)
    row.archived_at, row.archive_reason = timezone.now(), reason
    row.save(update_fields=["state", "archived_at", "archive_reason"])
    withdrawing.requests(row, reason=_("The version was archived: %(reason)s") % {"reason": reason}, by=by)
    record(
        "version.archive", row, by=by, before={"state": before}, after={"state": row.state, "reason": reason}
    )
    ledger.announce(model_name, version)
    return row


def _check_may_archive(row: ModelVersion) -> None:
    if row.state == VersionState.ARCHIVED:
        raise Conflict(_("%(version)s is archived already.") % {"version": row})
    if row.state == VersionState.CHAMPION:
        raise Conflict(
            _("%(version)s is the champion and is served. Promote another version or roll back first.")
            % {"version": row}
        )
    if row.gates.filter(state__in=OPEN_GATES).exists():
        raise Conflict(_("The gate of %(version)s is at work. Wait for its verdict.") % {"version": row})


@transaction.atomic
def unarchive(model_name: str, version: int, *, reason: str, by: User) -> ModelVersion:
    """Bring the version back: as retired when it was champion once, else as a candidate for the gate."""
    policy.check(by, "models.archive", model_name)
    reason = checked_reason(reason)
    row = held_version(model_name, version)
    if row.state != VersionState.ARCHIVED:
        raise Conflict(_("%(version)s is not archived.") % {"version": row})
    row.move_to(VersionState.RETIRED if row.periods.exists() else VersionState.CANDIDATE)
    row.archived_at, row.archive_reason = None, ""
    row.save(update_fields=["state", "archived_at", "archive_reason"])
    after = {"state": row.state, "reason": reason}
    record("version.unarchive", row, by=by, before={"state": VersionState.ARCHIVED}, after=after)
    ledger.announce(model_name, version)
    return row


def end_champion(model_name: str, *, reason: str, by: User | None) -> ChampionPeriod | None:
    """Let the champion serve no more; returns the period that follows, None when nobody does.

    After a demonstration's champion the last one of the ledger that is no demonstration's and not archived
    is champion again; otherwise nobody is, serving answers 409, and the alias is removed from MLflow. One
    whose files in MLflow are others by now is passed over: serving would refuse it.
    by: None for the console itself. Raises Conflict when the model has no champion.
    """
    if by is not None:
        policy.check(by, "models.decide", model_name)
    reason = checked_reason(reason)
    with transaction.atomic():
        former = _may_follow(_open_period(held_model(model_name)))
    lost = returning.without_their_files(former)
    with transaction.atomic():
        return _end(_open_period(held_model(model_name)), lost, reason=reason, by=by)


def _open_period(model: RegisteredModel) -> ChampionPeriod:
    period = model.periods.select_for_update().filter(until=None).first()
    if period is None:
        raise Conflict(_("%(model)s has no champion.") % {"model": model})
    period.model = model
    return period


def _may_follow(period: ChampionPeriod) -> list[ModelVersion]:
    return ledger.champions_before_demonstrations(period.model) if period.version.is_demo else []


def _end(
    period: ChampionPeriod, lost: list[ModelVersion], *, reason: str, by: User | None
) -> ChampionPeriod | None:
    former = next((version for version in _may_follow(period) if version not in lost), None)
    if former is None:
        ledger.end(period, by=by, reason=reason)
        tasks.deliver_alias.delay_on_commit(str(period.pk))
        return None
    former.model = period.model
    return returning.crown_again(former, reason=reason, by=by)
