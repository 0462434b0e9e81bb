"""The click's half: gates, overrides, promotion requests and their decisions, rollback, policy.

Each takes the model's row first, so decisions about one model come one after another; each is audited.
"""

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.audit.actions import record
from core.lib.errors import Conflict, InvalidRequest, NotFound
from models_registry import gateway, intact, ledger, mirror, tasks
from models_registry.holding import checked_reason, held_model, held_version
from models_registry.models import (
    ChampionPeriod,
    GateRun,
    ModelVersion,
    PromotionRequest,
    RegisteredModel,
)
from models_registry.removal import remove_demo
from models_registry.retiring import archive, end_champion, unarchive
from models_registry.returning import rollback
from models_registry.states import LONGEST_REASON, OPEN_GATES, GateState, Policy, RequestState, VersionState
from models_registry.troubles import note_serving

__all__ = [
    "approve",
    "archive",
    "ask_gate",
    "end_champion",
    "note_serving",
    "override_gate",
    "reject",
    "remove_demo",
    "request_promotion",
    "rollback",
    "set_policy",
    "unarchive",
    "withdraw",
]

JUDGED = (VersionState.CANDIDATE, VersionState.PASSED, VersionState.FAILED)


def ask_gate(model_name: str, version: int, *, by: User) -> GateRun:
    """Have a worker judge the version. One that MLflow just got is looked up there, so nobody has to wait."""
    policy.check(by, "models.gate", model_name)
    if not ModelVersion.objects.filter(model__name=model_name, version=version).exists():
        mlflow = gateway.connect()
        mirror.save_version(mlflow, mlflow.version(model_name, version))
    with transaction.atomic():
        row = held_version(model_name, version)
        _check_is_here(row)
        if row.state not in JUDGED:
            raise Conflict(_("%(version)s is or was champion: its gate is settled.") % {"version": row})
        if row.gates.filter(state__in=OPEN_GATES).exists():
            raise Conflict(
                _("The gate of %(version)s is at work. Its verdict comes by itself.") % {"version": row}
            )
        gate = GateRun.objects.create(version=row, requested_by=by)
        record("gate.ask", row, by=by, after={"gate": gate.pk})
        tasks.run_gate.delay_on_commit(str(gate.pk))
        ledger.announce(model_name, version)
    return gate


@transaction.atomic
def override_gate(model_name: str, version: int, *, reason: str, by: User) -> ModelVersion:
    """Let a version that failed count as passed. It carries the mark and the reason for ever."""
    policy.check(by, "admin", model_name)
    reason = checked_reason(reason)
    row = held_version(model_name, version)
    if row.state != VersionState.FAILED:
        raise Conflict(
            _("Only a version that failed can be overridden; %(version)s did not.") % {"version": row}
        )
    if not row.served_sha256:
        raise Conflict(_("The gate could not score %(version)s, so it cannot be served.") % {"version": row})
    row.move_to(VersionState.PASSED)
    row.is_overridden, row.override_reason, row.is_conclusive = True, reason, False
    row.save(update_fields=["state", "is_overridden", "override_reason", "is_conclusive"])
    record(
        "gate.override", row, by=by, before={"state": "failed"}, after={"state": "passed", "reason": reason}
    )
    ledger.announce(model_name, version)
    return row


@transaction.atomic
def request_promotion(model_name: str, version: int, *, reason: str, by: User) -> PromotionRequest:
    """Ask for the version to become champion. Raises Conflict until its gate has passed."""
    policy.check(by, "models.request", model_name)
    reason = checked_reason(reason)
    row = held_version(model_name, version)
    _check_passed(row)
    if row.requests.filter(state=RequestState.REQUESTED).exists():
        raise Conflict(_("The promotion of %(version)s is asked for already.") % {"version": row})
    verdict = row.last_verdict
    hashes = verdict.hashes if verdict else {}
    request = PromotionRequest.objects.create(version=row, reason=reason, requested_by=by, **hashes)
    record("promotion.request", request, by=by, after={"version": str(row), "reason": reason, **hashes})
    ledger.announce(model_name, version)
    return request


def approve(request_id: int, *, reason: str = "", by: User) -> PromotionRequest:
    """Make the version the champion, now. Nobody approves what they asked for, whatever roles they hold.

    MLflow must still hold the files that were judged: Conflict names those that it does not, Unavailable is
    raised when it cannot be asked. That takes as long as reading them, so nothing is held meanwhile.
    """
    with transaction.atomic():
        request = _approvable(request_id, by=by)
    version = request.version
    intact.check(gateway.connect(), version, request.hashes, serve_as=version.serve_as)
    return _approve(request_id, request.hashes, reason=reason, by=by)


@transaction.atomic
def _approve(request_id: int, checked: dict[str, str], *, reason: str, by: User) -> PromotionRequest:
    request = _approvable(request_id, by=by)
    if request.hashes != checked:
        raise Conflict(_("The request has changed meanwhile. Look at it again, then decide."))
    _decide(request, RequestState.APPROVED, reason, by)
    version = request.version
    period = ledger.crown(
        version, by=by, reason=reason or request.reason, kind=ChampionPeriod.Kind.PROMOTION, request=request
    )
    tasks.deliver_alias.delay_on_commit(str(period.pk))
    return request


@transaction.atomic
def reject(request_id: int, *, reason: str, by: User) -> PromotionRequest:
    """Decide against it. Who asked withdraws instead."""
    request = _held_request(request_id, by=by)
    _check_not_own(request, by, _("reject"))
    _decide(request, RequestState.REJECTED, checked_reason(reason), by)
    return request


@transaction.atomic
def withdraw(request_id: int, *, reason: str = "", by: User) -> PromotionRequest:
    """Take one's own request back."""
    policy.check(by, "models.request")
    request = _lock_request(request_id)
    if request.requested_by_id != by.pk:
        raise policy.Denied(
            _("Only %(name)s, who asked, can withdraw this.") % {"name": request.requested_by}
        )
    before = request.state
    request.move_to(RequestState.WITHDRAWN)
    request.decision_reason, request.decided_at = reason[:LONGEST_REASON], timezone.now()
    request.save(update_fields=["state", "decision_reason", "decided_at"])
    record("promotion.withdraw", request, by=by, before={"state": before}, after={"state": request.state})
    ledger.announce(request.version.model.name, request.version.version)
    return request


@transaction.atomic
def set_policy(model_name: str, *, value: str, by: User) -> RegisteredModel:
    """Say who approves this model's promotions: a person, or a conclusive pass by itself."""
    policy.check(by, "admin", model_name)
    if value not in Policy.values:
        raise InvalidRequest(_("The policy is “person” or “automatic”."))
    model = held_model(model_name)
    before, model.policy = model.policy, value
    model.save(update_fields=["policy"])
    record("model.policy", model, by=by, before={"policy": before}, after={"policy": value})
    ledger.announce(model_name)
    return model


def _held_request(request_id: int, *, by: User) -> PromotionRequest:
    """The request, open and held, for somebody who may decide."""
    policy.check(by, "models.decide")
    request = _lock_request(request_id)
    if not request.is_open:
        raise Conflict(_settled_words(request))
    if request.expires_at <= timezone.now():
        raise Conflict(_("This request has expired. Ask for the promotion again."))
    return request


def _settled_words(request: PromotionRequest) -> str:
    words = _("This request is %(state)s already.") % {"state": request.get_state_display()}
    is_withdrawn = request.state == RequestState.WITHDRAWN
    return f"{words} {request.decision_reason}" if is_withdrawn and request.decision_reason else words


def _approvable(request_id: int, *, by: User) -> PromotionRequest:
    """The request, held, if it may be approved now, as far as rows can tell."""
    request = _held_request(request_id, by=by)
    _check_not_own(request, by, _("approve"))
    _check_passed(request.version)
    _check_comparison(request.version)
    return request


def _lock_request(request_id: int) -> PromotionRequest:
    found = PromotionRequest.objects.select_related("version__model").filter(pk=request_id).first()
    if found is None:
        raise NotFound(_("There is no promotion request %(id)s.") % {"id": request_id})
    version = held_version(found.version.model.name, found.version.version)
    request = PromotionRequest.objects.select_for_update().get(pk=request_id)
    request.version = version
    return request


def _check_not_own(request: PromotionRequest, by: User, verb: str) -> None:
    if request.requested_by_id == by.pk:
        raise policy.Denied(
            _("You asked for this promotion, so somebody else has to decide: you cannot %(verb)s it.")
            % {"verb": verb}
        )


def _check_is_here(row: ModelVersion) -> None:
    if row.state == VersionState.ARCHIVED:
        raise Conflict(_("%(version)s is archived. Unarchive it first.") % {"version": row})
    if row.gone_at is not None:
        raise Conflict(
            _("MLflow has %(version)s no more, so it can neither be judged nor promoted.") % {"version": row}
        )


def _check_passed(row: ModelVersion) -> None:
    """Raises Conflict, with the reason of the gate's verdict, unless the version may become champion."""
    _check_is_here(row)
    if row.gates.filter(state__in=OPEN_GATES).exists():
        raise Conflict(_("The gate of %(version)s is at work. Wait for its verdict.") % {"version": row})
    if row.state == VersionState.PASSED:
        return
    words = {
        VersionState.CANDIDATE: _("%(version)s has not passed its gate yet. Ask for the gate first."),
        VersionState.FAILED: _("%(version)s did not pass its gate: %(reason)s"),
    }.get(VersionState(row.state), _("%(version)s is or was champion; use a rollback."))
    last = row.gates.order_by("-pk").first()
    raise Conflict(words % {"version": row, "reason": last.reason if last else ""})


def _check_comparison(row: ModelVersion) -> None:
    """The gate must have judged against today's champion. What passes by an override stands for itself."""
    champion = row.model.versions.filter(state=VersionState.CHAMPION).first()
    gate = row.last_verdict
    now = champion.version if champion else None
    stands_by_override = row.is_overridden and (gate is None or gate.state == GateState.FAILED)
    if stands_by_override or gate is None or gate.champion_version == now:
        return
    raise Conflict(
        _("The champion has changed since the gate judged %(version)s. Ask for its gate again.")
        % {"version": row}
    )


def _decide(request: PromotionRequest, state: str, reason: str, by: User) -> None:
    before = request.state
    request.move_to(state)
    request.decided_by, request.decided_at = by, timezone.now()
    request.decision_reason = reason[:LONGEST_REASON]
    request.save(update_fields=["state", "decided_by", "decided_at", "decision_reason"])
    after = {"state": state, "reason": request.decision_reason}
    verb = {RequestState.APPROVED: "approve", RequestState.REJECTED: "reject"}[RequestState(state)]
    record(f"promotion.{verb}", request, by=by, before={"state": before}, after=after)
    ledger.announce(request.version.model.name, request.version.version)
