"""Notifications on their way: a row each, written in the transaction of the alert's step, sent by the worker.

At least once: a worker that dies after the other side took it leaves the row due, and it goes again under the
same id. A channel says `most_per_minute` things a minute; what comes beyond that is held, and gathered in one
notification as soon as there is room.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Min, Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import gateway, mail, sealing
from core.alerts.models import Alert, Channel, Delivery, day_from_now
from core.alerts.states import ChannelKind, DeliveryState, Event
from core.lib import json_out, live, metrics, outbox
from core.lib.errors import ConsoleError
from core.lib.ids import uuid7

log = structlog.get_logger(__name__)

VERSION: Final = 1
MINUTE: Final = timedelta(minutes=1)
# Tried, and nothing came back: not even that it is not wanted.
UNANSWERED: Final = Q(status=None, tried_at__isnull=False) & ~Q(delivery_error="")
MOST_GATHERED: Final = 50  # shown of those that one notification stands for
TIMESTAMP, SIGNATURE, DELIVERY = "X-Atalaya-Timestamp", "X-Atalaya-Signature", "X-Atalaya-Delivery"


def tell(alert: Alert, event: str) -> None:
    """Have every channel that wants the alert told, once the caller's transaction is committed.

    That it is over is told to all that were told of it, though it may have become less severe meanwhile.
    """
    told = set[int]()
    if event == Event.RESOLVED:
        told.update(Delivery.objects.filter(alert=alert).values_list("channel_id", flat=True))
    for channel in Channel.objects.filter(is_active=True):
        if channel.wants(alert) or channel.pk in told:
            add(channel, event, alert=alert, told={"alert": _told_of(alert)})


def add(channel: Channel, event: str, *, told: dict[str, Any], alert: Alert | None = None) -> Delivery:
    """A row that is due now. told: what the payload holds beside what each does."""
    id_ = uuid7()
    row = Delivery.objects.create(
        id=id_, channel=channel, alert=alert, event=event, payload=_payload(str(id_), event, told)
    )
    deliver.delay_on_commit(str(id_))
    live.publish("channels", [channel.pk])
    return row


def send_again(row: Delivery) -> None:
    """Due now, under the same id, with a day before it is given up."""
    row.state, row.is_held, row.delivery_attempts, row.delivery_error = DeliveryState.PENDING, False, 0, ""
    row.next_attempt_at, row.give_up_at = timezone.now(), day_from_now()
    row.ended_at = row.gathered_in = None
    row.save()
    deliver.delay_on_commit(str(row.pk))
    live.publish("channels", [row.channel_id])


def _payload(id_: str, event: str, told: dict[str, Any]) -> dict[str, Any]:
    return {"version": VERSION, "id": id_, "event": str(event), "at": _iso(timezone.now()), **told}


def _told_of(alert: Alert) -> dict[str, Any]:
    return {
        "id": alert.pk,
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": str(alert.severity),
        "state": str(alert.state),
        "title": alert.title,
        "detail": alert.detail,
        "facts": alert.facts,
        "url": address(reverse("alerts:alert-detail", args=[alert.pk])),
        "n_findings": alert.n_findings,
        "first_found_at": _iso(alert.first_found_at),
        "last_found_at": _iso(alert.last_found_at),
        "is_demo": alert.is_demo,
    }


def address(path: str) -> str:
    """A page of the console for who reads elsewhere."""
    return f"{settings.CONSOLE_PUBLIC_URL}{path}"


def _iso(at: Any) -> str:
    return at.isoformat().replace("+00:00", "Z")


# --- the worker's half


@shared_task
def deliver(delivery_id: str) -> None:
    """Send it if it is its turn; what fails is sent again later."""
    claimed = outbox.claim(Delivery, delivery_id)
    row = None if claimed is None else _in_turn(claimed.pk)
    if row is None:
        return
    kind, began_at = row.channel.kind, time.monotonic()
    outcome = "delivered"
    try:
        answer = _send(row)
    except ConsoleError as error:
        outcome = "not_delivered"
        log.warning("notification.not_delivered", delivery=str(row.pk), error=error.message)
        _note(row, began_at, error=error.message)
    else:
        if answer is not None and not 200 <= answer.status < 300:
            outcome = "not_delivered"
            _note(row, began_at, answer=answer, error=_refusal(answer.status))
        else:
            _note(row, began_at, answer=answer)
    metrics.NOTIFICATIONS.labels(kind, outcome).inc()


@transaction.atomic
def _note(row: Delivery, began_at: float, *, answer: gateway.Answer | None = None, error: str = "") -> None:
    row.took_ms = round((time.monotonic() - began_at) * 1000)
    row.status, row.answer = (answer.status, answer.text) if answer else (None, "")
    row.save(update_fields=["took_ms", "status", "answer"])
    if error:
        row.mark_retry(error)
    else:
        row.end(DeliveryState.DELIVERED, delivery_error="")
    live.publish("channels", [row.channel_id])


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return _("It answered with a redirect (%(n)d), which is not followed.") % {"n": status}
    return _("It answered %(n)d instead of one from 200 to 299.") % {"n": status}


def _send(row: Delivery) -> gateway.Answer | None:
    """The answer of a webhook, None for an e-mail that was taken. Raises ConsoleError."""
    channel = row.channel
    if channel.kind == ChannelKind.EMAIL:
        mail.send(row.payload, channel.recipients)
        return None
    body, timestamp = json_out.encode(row.payload), int(time.time())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Atalaya",
        DELIVERY: str(row.pk),
        TIMESTAMP: str(timestamp),
        SIGNATURE: ",".join(f"v1={sealing.signature(one, timestamp, body)}" for one in _secrets(channel)),
    }
    return gateway.post(channel.url, body, headers)


def _secrets(channel: Channel) -> list[str]:
    sealed = [channel.sealed_secret]
    if channel.previous_until is not None and channel.previous_until > timezone.now():
        sealed.append(channel.sealed_previous)
    return [sealing.opened(one, channel.pk) for one in sealed]


# --- so many a minute


@transaction.atomic
def _in_turn(pk: Any) -> Delivery | None:
    """What is to be sent now: the row, one that gathers it with others, or nothing yet.

    The channel's lock has those of one channel decide one after the other.
    """
    channel_id = Delivery.objects.values_list("channel_id", flat=True).get(pk=pk)
    channel = Channel.objects.select_for_update(no_key=True).get(pk=channel_id)  # alerts go on meanwhile
    row = Delivery.objects.select_related("channel").get(pk=pk)
    if row.state != DeliveryState.PENDING:  # gathered meanwhile
        return None
    if row.event == Event.TEST:
        return _begun(row)
    if not channel.is_active:
        row.end(DeliveryState.CANCELLED)
        return None
    others = channel.deliveries.exclude(pk=pk).exclude(event=Event.TEST)
    if until := _full_until(channel, others):
        _hold(row, until)
        return None
    wait = others.filter(Q(is_held=True) | UNANSWERED, state=DeliveryState.PENDING)
    held = list(wait.order_by("created_at", "pk"))
    return _begun(_gather(channel, [*held, row]) if held else row)


def _full_until(channel: Channel, others: QuerySet[Delivery]) -> datetime | None:
    """When the channel may say more; None when that is now.

    While nobody answers there, one notification at a time is tried: each keeps the worker while it waits.
    """
    now = timezone.now()
    away = others.filter(UNANSWERED, state=DeliveryState.PENDING, next_attempt_at__gt=now)
    if (next_try_at := away.aggregate(at=Min("next_attempt_at"))["at"]) is not None:
        return next_try_at
    lately = others.filter(tried_at__gt=now - MINUTE)
    told = lately.aggregate(n=Count("pk"), oldest=Min("tried_at"))
    return told["oldest"] + MINUTE if told["n"] >= channel.most_per_minute else None


def _begun(row: Delivery) -> Delivery:
    row.tried_at, row.is_held = timezone.now(), False
    row.save(update_fields=["tried_at", "is_held"])
    return row


def _hold(row: Delivery, until: datetime) -> None:
    """It was no try."""
    values = {"is_held": True, "next_attempt_at": until}
    Delivery.objects.filter(pk=row.pk).update(**values, delivery_attempts=F("delivery_attempts") - 1)


def _gather(channel: Channel, rows: Sequence[Delivery]) -> Delivery:
    """One row that stands for all of them, taken by this worker."""
    rows = sorted(rows, key=lambda row: (row.created_at, row.pk))
    told = list(_told_by(rows))
    n_told = sum(row.payload.get("n", 1) for row in rows)
    id_, now = uuid7(), timezone.now()
    found = Delivery.objects.create(
        id=id_,
        channel=channel,
        event=Event.GATHERED,
        payload=_payload(str(id_), Event.GATHERED, {"n": n_told, "notifications": told[:MOST_GATHERED]}),
        delivery_attempts=1,
        next_attempt_at=now + timedelta(seconds=Delivery.lease_s),
    )
    done = {"state": DeliveryState.GATHERED, "gathered_in": found, "is_held": False}
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(
        **done, next_attempt_at=None, ended_at=now
    )
    return found


def _told_by(rows: Iterable[Delivery]) -> Iterable[dict[str, Any]]:
    for row in rows:
        payload = row.payload
        if row.event == Event.GATHERED:
            yield from payload["notifications"]
        else:
            yield {name: payload[name] for name in ("id", "event", "at", "alert")}
