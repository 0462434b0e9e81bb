"""Raise and settle alerts, for the apps that find something; acknowledge, mute, resolve them, for people."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.alerts import deliveries, findings
from core.alerts.models import MOST_AT_ONCE, Alert
from core.alerts.states import UNRESOLVED, Event, Severity, State
from core.audit.actions import record
from core.lib import live
from core.lib.errors import InvalidRequest, NotFound

SCOPE: Final = "alerts.handle"
COOLDOWN: Final = timedelta(hours=1)
LONGEST_MUTE: Final = timedelta(days=90)


def raise_alert(
    rule: str,
    *,
    subject: str,
    title: str,
    detail: str,
    facts: dict[str, Any],
    url: str = "",
    evidence_url: str = "",
    severity: str = Severity.WARNING,
    is_demo: bool = False,
    cooldown: timedelta = COOLDOWN,
) -> Alert | None:
    """Tell of a finding, in the caller's transaction; the alert when this opened one, else None.

    While one for (rule, subject) is unresolved the finding is counted on it, with the latest facts (see
    `facts`); a mute that has run out ends and it is open again. Within `cooldown` after a person resolved it
    the finding is counted on that one and opens nothing. What the console itself settled while it was muted
    opens muted until that time is over. url, evidence_url: paths of this console.
    """
    found = findings.Finding(title, detail, facts, url, evidence_url, severity, is_demo)
    return findings.take(rule, subject, found, cooldown=cooldown)


@transaction.atomic
def settle(rule: str, subject: str, *, reason: str = "") -> Alert | None:
    """Resolve the alert of (rule, subject), if there is one: the cause is gone, says the console itself."""
    alert = Alert.objects.select_for_update().filter(rule=rule, subject=subject, state__in=UNRESOLVED).first()
    if alert is not None:
        _step(alert, State.RESOLVED, by=None, reason=reason or _("The cause is gone."))
    return alert


@transaction.atomic
def acknowledge(alert_id: int, *, by: User, reason: str = "") -> Alert:
    """Say that somebody looks after it. Raises NotFound, Conflict."""
    policy.check(by, SCOPE, alert_id)
    return _step(_held(alert_id), State.ACKNOWLEDGED, by=by, reason=reason)


@transaction.atomic
def acknowledge_many(alert_ids: Iterable[int], *, by: User, reason: str = "") -> list[Alert]:
    """Acknowledge those of them that are open, and answer which those were."""
    policy.check(by, SCOPE)
    wanted = list(alert_ids)[:MOST_AT_ONCE]
    alerts = Alert.objects.select_for_update().filter(pk__in=wanted, state=State.OPEN).order_by("pk")
    return [_step(alert, State.ACKNOWLEDGED, by=by, reason=reason) for alert in alerts]


@transaction.atomic
def mute(alert_id: int, *, until: datetime, by: User, reason: str = "") -> Alert:
    """Keep it quiet until then, though its cause may go and come; a finding made later opens it again.

    Raises InvalidRequest too.
    """
    policy.check(by, SCOPE, alert_id)
    now = timezone.now()
    if not now < until <= now + LONGEST_MUTE:
        message = _("Choose a time that is to come, within %(n)d days.") % {"n": LONGEST_MUTE.days}
        raise InvalidRequest(message, errors=[{"field": "until", "message": message}])
    return _step(_held(alert_id), State.MUTED, by=by, reason=reason, until=until)


@transaction.atomic
def resolve(alert_id: int, *, by: User, reason: str) -> Alert:
    """Close it with a note. A finding made after the cooldown opens a new one."""
    policy.check(by, SCOPE, alert_id)
    return _step(_held(alert_id), State.RESOLVED, by=by, reason=reason)


def remove_demo() -> int:
    """Delete the alerts of the demonstration; returns how many."""
    alerts = Alert.objects.filter(is_demo=True)
    n_alerts = alerts.count()
    alerts.delete()
    live.publish("alerts")
    return n_alerts


def _held(alert_id: int) -> Alert:
    alert = Alert.objects.select_for_update().filter(pk=alert_id).first()
    if alert is None:
        raise NotFound(_("There is no alert %(id)s.") % {"id": alert_id})
    return alert


def _step(alert: Alert, state: str, *, by: User | None, reason: str, until: datetime | None = None) -> Alert:
    """The step of a person, or of the console itself (by=None), with its audit row."""
    before = {"state": alert.state, "muted_until": alert.muted_until}
    alert.move_to(state, by="" if by is None else by.get_username(), reason=reason, until=until)
    alert.save(update_fields=["state", "state_since", "muted_until", "handled_by"])
    after = {"state": state, "muted_until": until, "reason": reason}
    record(f"alert.{_ACTIONS[state]}", alert, by=by, before=before, after=after)
    if state == State.RESOLVED:
        deliveries.tell(alert, Event.RESOLVED, is_muted=before["state"] == State.MUTED)
    live.publish("alerts", [alert.pk])
    return alert


_ACTIONS: Final[dict[str, str]] = {
    State.ACKNOWLEDGED: "acknowledge",
    State.MUTED: "mute",
    State.RESOLVED: "resolve",
}
