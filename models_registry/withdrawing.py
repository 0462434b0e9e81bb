"""Requests that the console itself takes back: their version was archived, or its files are others by now."""

from django.utils import timezone
from django.utils.translation import gettext as _

from core.access.models import User
from core.audit.actions import record
from models_registry.models import HASHES, GateRun, ModelVersion, PromotionRequest
from models_registry.states import LONGEST_REASON, RequestState


def requests(version: ModelVersion, *, reason: str, by: User | None) -> None:
    """Withdraw the open request for this version. The caller holds the version."""
    for request in version.requests.select_for_update().filter(state=RequestState.REQUESTED):
        _withdraw(request, reason, by)


def requests_for_other_files(version: ModelVersion, gate: GateRun) -> None:
    """Withdraw the open request when the gate judged other files than it is for. The caller holds both."""
    for request in version.requests.select_for_update().filter(state=RequestState.REQUESTED):
        if request.hashes != gate.hashes:
            _withdraw(request, _other_files(request, gate), None)


def _withdraw(request: PromotionRequest, reason: str, by: User | None) -> None:
    before = {"state": request.state}
    request.move_to(RequestState.WITHDRAWN)
    request.decision_reason, request.decided_at = reason[:LONGEST_REASON], timezone.now()
    request.save(update_fields=["state", "decision_reason", "decided_at"])
    after = {"state": request.state, "reason": request.decision_reason}
    record("promotion.withdraw", request, by=by, before=before, after=after)


def _other_files(request: PromotionRequest, gate: GateRun) -> str:
    names = {
        "served_sha256": _("model"),
        "reference_sha256": _("reference"),
        "holdout_sha256": _("hold-out"),
        "spec_sha256": _("spec"),
    }
    changes = [
        _("%(what)s %(before)s, now %(now)s")
        % {
            "what": names[name],
            "before": getattr(request, name)[:12] or _("unknown"),
            "now": getattr(gate, name)[:12] or _("not there"),
        }
        for name in HASHES
        if getattr(request, name) != getattr(gate, name)
    ]
    words = _("The gate ran again and found other files than this request is for: %(changes)s. Ask again.")
    return words % {"changes": "; ".join(changes)}
