"""What the console finds by itself: an alert opens, is counted, opens again, or is no longer needed."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.http import MAX_URL_LENGTH, url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from core.alerts import deliveries, facts
from core.alerts.models import Alert, AlertStep
from core.alerts.states import Event, Severity, State
from core.lib import live

LONGEST_TITLE: Final = 200
LONGEST_DETAIL: Final = 2000


@dataclass(frozen=True)
class Finding:
    """What the latest finding says; it replaces what earlier ones said."""

    title: str
    detail: str
    facts: dict[str, Any]
    url: str
    evidence_url: str
    severity: str
    is_demo: bool

    def as_fields(self) -> dict[str, Any]:
        """Fields of the alert, within their bounds. Raises ValueError for an address of elsewhere."""
        for url in filter(None, (self.url, self.evidence_url)):
            # Django takes no longer path for safe; a host would be at its start.
            start = url[:MAX_URL_LENGTH]
            if not url.startswith("/") or not url_has_allowed_host_and_scheme(start, allowed_hosts=None):
                raise ValueError(f"not a path of this console: {url}")
        return {
            **asdict(self),
            "title": facts.cut(self.title, LONGEST_TITLE),
            "detail": facts.cut(self.detail, LONGEST_DETAIL),
            "facts": facts.bounded(self.facts),
        }


@transaction.atomic
def take(rule: str, subject: str, finding: Finding, *, cooldown: timedelta) -> Alert | None:
    """Open an alert or count the finding; the alert only when it is new, or open now and was not before."""
    now = timezone.now()
    fields = finding.as_fields()
    latest = _held_latest(rule, subject)
    if latest is None or _may_open_anew(latest, now - cooldown):
        try:
            with transaction.atomic():
                return _open(rule, subject, fields, now, mute=_mute_of(latest, now))
        except IntegrityError:  # found by somebody else at the same moment, and committed since
            latest = _held_latest(rule, subject)
            if latest is None:
                raise
    return _count(latest, fields, now)


def _held_latest(rule: str, subject: str) -> Alert | None:
    """The newest alert of the pair, locked. An unresolved one is always the newest."""
    rows = Alert.objects.select_for_update().filter(rule=rule, subject=subject)
    return rows.order_by("-pk").first()


def _may_open_anew(latest: Alert, resolved_before: datetime) -> bool:
    """A cause that the console saw go, and that comes back, is another one, however soon."""
    is_by_itself = not latest.handled_by
    return not latest.is_unresolved and (is_by_itself or latest.state_since <= resolved_before)


def _mute_of(latest: Alert | None, now: datetime) -> AlertStep | None:
    """Somebody's mute that goes on: that the console saw the cause go for a while did not end it."""
    if latest is None or latest.handled_by:
        return None
    before = latest.steps.exclude(state=State.RESOLVED).last()
    is_on = before is not None and before.until is not None and before.until > now
    return before if is_on else None


def _open(rule: str, subject: str, fields: dict[str, Any], now: datetime, *, mute: AlertStep | None) -> Alert:
    times = {"state_since": now, "first_found_at": now, "last_found_at": now}
    alert = Alert.objects.create(rule=rule, subject=subject, **fields, **times)
    alert.steps.create(state=State.OPEN, at=now)
    if mute is None:
        deliveries.tell(alert, Event.OPENED)
    else:
        why = _("The mute of alert %(id)s goes on.") % {"id": mute.alert_id}
        alert.move_to(State.MUTED, by=mute.by, reason=why, until=mute.until)
        alert.save()
    live.publish("alerts", [alert.pk])
    return alert


def _count(alert: Alert, fields: dict[str, Any], now: datetime) -> Alert | None:
    """Resolved ones keep what they said; only the count and the time show that it was found again."""
    alert.n_findings += 1
    alert.last_found_at = max(now, alert.last_found_at)
    is_over = alert.state == State.MUTED and alert.muted_until is not None and alert.muted_until <= now
    had = alert.severity
    if alert.is_unresolved:
        # With one real finding it must outlive the demonstration.
        fields = fields | {"is_demo": alert.is_demo and fields["is_demo"]}
        for name, value in fields.items():
            setattr(alert, name, value)
    if is_over:
        alert.move_to(State.OPEN)
    alert.save()
    if is_over:
        deliveries.tell(alert, Event.REOPENED)
    elif alert.state in (State.OPEN, State.ACKNOWLEDGED) and _is_worse(alert.severity, had):
        deliveries.tell(alert, Event.WORSENED)
    live.publish("alerts", [alert.pk])
    return alert if is_over else None


def _is_worse(now: str, before: str) -> bool:
    ranks = Severity.values  # the worst first
    return ranks.index(now) < ranks.index(before)
