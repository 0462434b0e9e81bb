"""Writes what a gate found, at once: the gate, the version and, by the model's policy, the promotion."""

from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.audit.actions import record
from core.lib import storable
from models_registry import ledger, withdrawing
from models_registry.models import HASHES, ChampionPeriod, GateRun, ModelVersion, PromotionRequest
from models_registry.states import VERSION_STEPS, GateState, Policy, RequestState, VersionState

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The verdict with its numbers, and how the version is to be served. `missing` files make it fail."""

    has_passed: bool
    is_conclusive: bool | None = None
    reason: str = ""
    missing: list[str] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    holdout_rows: int | None = None
    isolation: str = ""
    seconds: float | None = None
    champion_version: int | None = None
    serving: dict[str, Any] = field(default_factory=dict)  # columns of ModelVersion
    hashes: dict[str, str] = field(default_factory=dict)  # of the files judged; none where some were missing


@dataclass(frozen=True)
class _Held:
    gate: GateRun
    version: ModelVersion


@transaction.atomic
def settle(gate: GateRun, outcome: Outcome) -> ChampionPeriod | None:
    """Write the verdict, unless another worker took the gate over: then this one's came too late.

    Returns the new champion's period when the model's policy promoted the version.
    """
    held = _hold(gate)
    if held is None:
        return None
    outcome = replace(outcome, **storable.everything(vars(outcome)))  # it quotes the model and its rows
    row, version = held.gate, held.version
    row.state = GateState.PASSED if outcome.has_passed else GateState.FAILED
    for name in (
        "checks",
        "metrics",
        "holdout_rows",
        "is_conclusive",
        "reason",
        "isolation",
        "champion_version",
    ):
        setattr(row, name, getattr(outcome, name))
    for name in HASHES:
        setattr(row, name, outcome.hashes.get(name, ""))
    _finish(row, outcome.seconds)
    before = version.state
    if not version.was_served:
        _judge(version, outcome)
    record("gate.verdict", version, by=None, before={"state": before}, after=_after(row, version))
    withdrawing.requests_for_other_files(version, row)
    ledger.announce(version.model.name, version.version)
    return _promoted_by_policy(row, version) if version.state == VersionState.PASSED else None


def _judge(version: ModelVersion, outcome: Outcome) -> None:
    """Never for one that is or was champion: what serves stays what was approved."""
    state = VersionState.PASSED if outcome.has_passed else VersionState.FAILED
    if state in VERSION_STEPS[version.state]:
        version.move_to(state)
    version.is_conclusive = outcome.is_conclusive
    version.missing_artefacts = outcome.missing
    for name in ("served_sha256", "reference_sha256"):
        setattr(version, name, outcome.hashes.get(name, ""))
    # What was recorded when it was trained, or judged first, stands: a frozen hold-out does not change.
    version.holdout_sha256 = version.holdout_sha256 or outcome.hashes.get("holdout_sha256", "")
    for name, value in outcome.serving.items():
        setattr(version, name, value)
    version.save()


@transaction.atomic
def settle_error(gate: GateRun, reason: str) -> None:
    """Note that there is no verdict, and why; the version stays what it was, and one can ask again."""
    held = _hold(gate)
    if held is None:
        return
    held.gate.state = GateState.ERROR
    held.gate.reason = storable.text(reason)
    _finish(held.gate, None)
    ledger.announce(held.version.model.name, held.version.version)


@transaction.atomic
def put_back(gate: GateRun, reason: str) -> None:
    """Have it judged again later, unless another worker took it over: then it is that one's."""
    held = _hold(gate)
    if held is None:
        return
    held.gate.state = GateState.REQUESTED
    held.gate.save(update_fields=["state"])
    held.gate.mark_retry(reason)
    ledger.announce(held.version.model.name, held.version.version)


def _hold(gate: GateRun) -> _Held | None:
    """Model, gate and version, locked in this order; None when this attempt counts no more."""
    model = ledger.locked(gate.version.model.name)
    row = GateRun.objects.select_for_update().get(pk=gate.pk)
    if row.delivery_attempts != gate.delivery_attempts or not row.is_open:
        log.warning("gate.verdict_too_late", gate=gate.pk, attempt=gate.delivery_attempts)
        return None
    version = ModelVersion.objects.select_for_update().get(pk=row.version_id)
    version.model = model
    row.version = version
    return _Held(row, version)


def _finish(row: GateRun, seconds: float | None) -> None:
    row.ended_at = timezone.now()
    row.seconds = seconds
    row.next_attempt_at = None
    row.delivery_error = ""
    row.save()


def _after(row: GateRun, version: ModelVersion) -> dict[str, Any]:
    return {
        "state": version.state,
        "is_conclusive": row.is_conclusive,
        "reason": row.reason,
        **row.hashes,
    }


def _promoted_by_policy(row: GateRun, version: ModelVersion) -> ChampionPeriod | None:
    """Under the automatic policy a conclusive pass against today's champion is enough."""
    champion = version.model.versions.filter(state=VersionState.CHAMPION).first()
    is_current = row.champion_version == (champion.version if champion else None)
    if version.model.policy != Policy.AUTOMATIC or not row.is_conclusive or not is_current:
        return None
    if version.gone_at is not None:
        return None
    reason = _("The gate passed conclusively, and the policy of this model is automatic.")
    now = timezone.now()
    version.requests.filter(state=RequestState.REQUESTED).update(
        state=RequestState.APPROVED, is_by_policy=True, decided_at=now, decision_reason=reason
    )
    request = version.requests.filter(is_by_policy=True, decided_at=now).first()
    request = request or PromotionRequest.objects.create(
        version=version,
        state=RequestState.APPROVED,
        reason=reason,
        requested_by=row.requested_by,
        is_by_policy=True,
        decided_at=now,
        decision_reason=reason,
        **row.hashes,
    )
    return ledger.crown(version, by=None, reason=reason, kind=ChampionPeriod.Kind.PROMOTION, request=request)
