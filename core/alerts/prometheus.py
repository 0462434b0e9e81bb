"""What Alertmanager sends to its webhook: each alert of the message opens, counts or resolves one of ours.

The rule of such an alert is `prometheus`; its subject holds the fingerprint, which Prometheus makes of the
labels. Written against version 4 of the message, Alertmanager 0.25.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import transaction
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.alerts import actions, loops
from core.alerts.facts import cut
from core.alerts.models import Alert
from core.alerts.states import UNRESOLVED, Severity
from core.audit.actions import record
from core.lib import aside
from core.lib.errors import InvalidRequest

SCOPE: Final = "alerts.report"
RULE: Final = "prometheus"
LONGEST_SUBJECT: Final = 300
LONGEST_FINGERPRINT: Final = 64
FIRING, RESOLVED = "firing", "resolved"
SEVERITIES: Final = {
    "critical": Severity.CRITICAL,
    "error": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "info": Severity.INFO,
    "none": Severity.INFO,
}
# What the title and the badge say already.
TOLD_ELSEWHERE: Final = ("alertname", "severity")


@dataclass(frozen=True)
class Notice:
    """One alert of a message."""

    name: str
    fingerprint: str
    is_firing: bool
    labels: Mapping[str, Any]
    annotations: Mapping[str, Any]
    starts_at: str

    @property
    def subject(self) -> str:
        end = f" {self.fingerprint}"
        return cut(self.name, LONGEST_SUBJECT - len(end)) + end

    @property
    def facts(self) -> dict[str, Any]:
        """Labels, since when, and where the runbook is."""
        found = {name: value for name, value in self.labels.items() if name not in TOLD_ELSEWHERE}
        runbook = self.annotations.get("runbook") or self.annotations.get("runbook_url")
        return found | {
            name: value for name, value in (("since", self.starts_at), ("runbook", runbook)) if value
        }


@dataclass
class Taken:
    """What became of the alerts of one message; `n_left_out`: that Alertmanager cut off itself."""

    n_opened: int = 0
    n_counted: int = 0
    n_resolved: int = 0
    n_set_aside: int = 0
    n_left_out: int = 0


def take(message: object, *, by: User) -> Taken:
    """Carry out one message. What is no alert is set aside, and the others go on.

    Raises InvalidRequest when the whole is no message of Alertmanager's.
    """
    policy.check(by, SCOPE)
    found = _alerts(message)
    read = aside.read(found, _notice, key=_name_of)
    done = loops.PROMETHEUS.each(read, lambda notice: _act(notice, by), key=lambda notice: notice.subject)
    return Taken(
        n_opened=done.count("opened"),
        n_counted=done.count("counted"),
        n_resolved=done.count("resolved"),
        n_set_aside=len(found) - len(done),
        n_left_out=_left_out(message),
    )


def _alerts(message: object) -> list[Any]:
    found = message.get("alerts") if isinstance(message, dict) else None
    if isinstance(found, list):
        return found
    words = _("Send what Alertmanager sends to a webhook: an object with a list of `alerts`.")
    raise InvalidRequest(words, errors=[{"field": "alerts", "message": words}])


def _left_out(message: Any) -> int:
    n = message.get("truncatedAlerts")
    return n if isinstance(n, int) and n > 0 else 0


def _name_of(alert: Any) -> str:
    """How an alert that cannot be read is called where it is set aside."""
    labels = alert["labels"] if isinstance(alert["labels"], dict) else {}
    return f"{labels.get('alertname') or alert['fingerprint']}"


def _notice(alert: Any) -> Notice:
    """Raises ValueError, in words, for what is no alert."""
    if not isinstance(alert, dict):
        raise ValueError(_("It is no object."))
    labels, annotations = _texts(alert, "labels"), _texts(alert, "annotations")
    status = alert.get("status")
    if status not in (FIRING, RESOLVED):
        raise ValueError(_("Its status is neither firing nor resolved: %(status)r") % {"status": status})
    fingerprint = str(alert.get("fingerprint") or "") or _fingerprint(labels)
    name = str(labels.get("alertname") or "") or _("An alert without a name")
    starts_at = str(alert.get("startsAt") or "")
    return Notice(
        name, cut(fingerprint, LONGEST_FINGERPRINT), status == FIRING, labels, annotations, starts_at
    )


def _texts(alert: dict[str, Any], field: str) -> dict[str, Any]:
    found = alert.get(field) or {}
    if not isinstance(found, dict):
        raise ValueError(_("Its %(field)s are no object.") % {"field": field})
    return found


def _fingerprint(labels: dict[str, Any]) -> str:
    """Of one that came without: equal labels are the same alert, as for Prometheus."""
    if not labels:
        raise ValueError(_("It has neither labels nor a fingerprint."))
    return hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]


@transaction.atomic
def _act(notice: Notice, by: User) -> str:
    if not notice.is_firing:
        actions.settle(RULE, notice.subject, reason=_("Prometheus says that it is over."))
        return "resolved"
    was_there = Alert.objects.filter(rule=RULE, subject=notice.subject, state__in=UNRESOLVED).exists()
    severity = SEVERITIES.get(str(notice.labels.get("severity") or "").lower(), Severity.WARNING)
    opened = actions.raise_alert(
        RULE,
        subject=notice.subject,
        title=str(notice.annotations.get("summary") or notice.name),
        detail=str(notice.annotations.get("description") or notice.annotations.get("message") or ""),
        facts=notice.facts,
        severity=severity,
        cooldown=timedelta(0),  # Prometheus waits by itself before it fires, and says when it is over
    )
    if opened is None:
        return "counted"
    if not was_there:
        record("alert.report", opened, by=by, after={"severity": severity, "title": opened.title})
    return "opened"
