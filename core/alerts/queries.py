"""Reads: alerts by what the URL asks for, how many of each kind there are, what is open; and who is told."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    IntegerField,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.translation import gettext as _

from core.access.models import User
from core.alerts.models import Alert, Channel, Delivery
from core.alerts.states import UNRESOLVED, ChannelKind, DeliveryState, Event, Severity, State
from core.lib.errors import NotFound
from core.lib.hits import Hit

FACETS: Final = ("state", "severity", "rule")
UNRESOLVED_WORD, ALL = "unresolved", "all"  # words of the URL in place of a state
MOST_SHOWN: Final = 5


@dataclass(frozen=True)
class Open:
    """How many alerts are open, and the worst severity among them; empty when none is."""

    n: int
    worst: str


def alert(alert_id: int) -> Alert:
    """With its steps. Raises NotFound."""
    found = Alert.objects.prefetch_related("steps").filter(pk=alert_id).first()
    if found is None:
        raise NotFound(_("There is no alert %(id)s.") % {"id": alert_id})
    return found


def alerts(
    *, state: str = "", severity: str = "", rule: str = "", subject: str = "", words: str = ""
) -> QuerySet[Alert]:
    """Latest finding first. state: one of them, or "unresolved"; words: in title or subject, any case."""
    given = {"severity": severity, "rule": rule, "subject": subject}
    found = Alert.objects.filter(_state(state), **{key: value for key, value in given.items() if value})
    if words:
        found = found.filter(Q(title__icontains=words) | Q(subject__icontains=words))
    return found.order_by("-last_found_at", "-pk")


def _state(state: str) -> Q:
    if state == UNRESOLVED_WORD:
        return Q(state__in=UNRESOLVED)
    return Q() if state in ("", ALL) else Q(state=state)


def counts(*, state: str = "", severity: str = "", rule: str = "", words: str = "") -> dict[str, Counter]:
    """For each facet how many alerts each of its values would leave, the other filters as they are."""
    wanted = {"state": state, "severity": severity, "rule": rule}
    combined = alerts(words=words).order_by().values_list(*FACETS).annotate(n=Count("pk"))
    found: dict[str, Counter] = {facet: Counter() for facet in FACETS}
    for *values, n in combined:
        has = dict(zip(FACETS, values, strict=True))
        for facet in FACETS:
            if all(_fits(has[other], wanted[other]) for other in FACETS if other != facet):
                found[facet][has[facet]] += n
    found["state"][ALL] = found["state"].total()
    found["state"][UNRESOLVED_WORD] = sum(found["state"][one] for one in UNRESOLVED)
    return found


def _fits(value: str, wanted: str) -> bool:
    return wanted in ("", ALL, value) or (wanted == UNRESOLVED_WORD and value in UNRESOLVED)


def open_count() -> Open:
    """For the bell: one query, over the open ones alone."""
    rows = Alert.objects.filter(state=State.OPEN).order_by().values_list("severity").annotate(n=Count("pk"))
    by_severity = dict(rows)
    worst = next((severity for severity in Severity.values if severity in by_severity), "")
    return Open(sum(by_severity.values()), worst)


def open_alerts() -> list[Alert]:
    """The worst and latest of the open ones, for the overview."""
    ranks = [When(severity=severity, then=Value(rank)) for rank, severity in enumerate(Severity.values)]
    rank = Case(*ranks, output_field=IntegerField())
    return list(Alert.objects.filter(state=State.OPEN).order_by(rank, "-last_found_at")[:MOST_SHOWN])


def search(text: str, _user: User) -> list[Hit]:
    """Unresolved alerts whose title or subject holds the text."""
    found = alerts(state=UNRESOLVED_WORD, words=text)[:8]
    return [
        Hit(alert.title, reverse("alerts:alert-detail", args=[alert.pk]), _("Alert"), "bell")
        for alert in found
    ]


# --- channels


def search_channels(text: str, _user: User) -> list[Hit]:
    """Channels of notifications by name."""
    return [
        Hit(row.name, reverse("alerts:channel-detail", args=[row.pk]), _("channel"), "bell")
        for row in Channel.objects.filter(name__icontains=text).order_by("name")[:8]
    ]


def channels() -> QuerySet[Channel]:
    """By name, each with `n_pending`, `n_failed` and `last_at` of its notifications."""
    told = _of_channel(DeliveryState.DELIVERED).order_by("-ended_at").values("ended_at")[:1]
    return Channel.objects.annotate(
        n_pending=_count(DeliveryState.PENDING), n_failed=_count(DeliveryState.FAILED), last_at=Subquery(told)
    ).order_by("name")


def _of_channel(state: str) -> QuerySet[Delivery]:
    """Each by its own partial index: the log of a channel is long."""
    return Delivery.objects.filter(channel=OuterRef("pk"), state=state)


def _count(state: str) -> Coalesce:
    rows = _of_channel(state).order_by().values("channel").annotate(n=Count("pk"))
    return Coalesce(Subquery(rows.values("n")), 0)


def channel(channel_id: int) -> Channel:
    """Raises NotFound."""
    found = channels().filter(pk=channel_id).first()
    if found is None:
        raise NotFound(_("There is no channel %(id)s.") % {"id": channel_id})
    return found


def deliveries(channel_id: int, *, state: str = "") -> QuerySet[Delivery]:
    """What went or goes through a channel, newest first."""
    found = Delivery.objects.filter(channel=channel_id).select_related("alert")
    return (found.filter(state=state) if state else found).order_by("-created_at", "-pk")


def delivery(channel_id: int, delivery_id: UUID) -> Delivery:
    """Raises NotFound."""
    found = Delivery.objects.filter(channel=channel_id, pk=delivery_id).first()
    if found is None:
        raise NotFound(_("Channel %(id)s has no such notification.") % {"id": channel_id})
    return found


def pending() -> dict[str, tuple[int, datetime | None]]:
    """For each kind of channel how many notifications are not delivered yet, and when the oldest was made."""
    waiting = Delivery.objects.filter(state=DeliveryState.PENDING, channel__is_active=True).order_by()
    rows = waiting.values_list("channel__kind").annotate(n=Count("pk"), oldest=Min("created_at"))
    found = {kind: (n, oldest) for kind, n, oldest in rows}
    return {kind: found.get(kind, (0, None)) for kind in ChannelKind.values}


def troubled_channels(*, waits_since: datetime, lost_since: datetime) -> list[str]:
    """Names of those of which something waits since before the one, or was given up after the other."""
    waits = Q(state=DeliveryState.PENDING, created_at__lt=waits_since)
    lost = Q(state=DeliveryState.FAILED, ended_at__gte=lost_since)
    found = Delivery.objects.filter(waits | lost, channel__is_active=True).exclude(event=Event.TEST)
    return list(found.order_by("channel__name").values_list("channel__name", flat=True).distinct())
