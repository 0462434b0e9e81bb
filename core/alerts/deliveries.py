"""Notifications on their way: a row each, written in the transaction of the alert's step, sent by the worker.

At least once: a worker that dies after the other side took it leaves the row due, and it goes again under the
same id. A channel says `most_per_minute` things a minute; what comes beyond that is held, and gathered in one
notification as soon as there is room.
"""

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from celery import shared_task
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Max, Min, Q, QuerySet
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
# Tried, and nothing came back: not even that it is not wanted, or that some are.
UNANSWERED: Final = Q(status=None, refused=[]) & ~Q(delivery_error="")
WAITS: Final = Q(is_held=True, refused=[]) | UNANSWERED
# A worker's time for one try: to look a name up, to connect, send and read. A mail server gets a minute.
LEASES: Final = {
    ChannelKind.WEBHOOK: timedelta(seconds=Delivery.lease_s),
    ChannelKind.EMAIL: timedelta(minutes=5),
}
LOCK: Final = 7_206_311  # among those who try what nobody answered
NEXT_TURN: Final = timedelta(seconds=10)  # while somebody else's is tried
MOST_GATHERED: Final = 50  # shown of those that one notification stands for
TIMESTAMP, SIGNATURE, DELIVERY = "X-Atalaya-Timestamp", "X-Atalaya-Signature", "X-Atalaya-Delivery"


def tell(alert: Alert, event: str, *, is_muted: bool = False) -> None:
    """Have every channel that wants the alert told, once the caller's transaction is committed.

    That it is over is told to all that were told of it, though it may have become less severe meanwhile.
    is_muted: and to nobody else.
    """
    told = set[int]()
    if event == Event.RESOLVED:
        told.update(Delivery.objects.filter(alert=alert).values_list("channel_id", flat=True))
    for channel in _kept_channels():
        if channel.pk in told or (channel.wants(alert) and not is_muted):
            add(channel, event, alert=alert, told={"alert": _told_of(alert)})


def _kept_channels() -> list[Channel]:
    """Those that are on. None is removed before the caller's transaction ends, which would fail with it.

    The lock is the one that PostgreSQL takes for a reference: it keeps no worker and no other alert.
    """
    locked = "SELECT * FROM alerts_channel WHERE is_active ORDER BY id FOR KEY SHARE"
    return list(Channel.objects.raw(locked))


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
    row.gathered.update(give_up_at=row.give_up_at)
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
    row = _in_turn(delivery_id)
    if row is None:
        return
    kind, began_at = row.channel.kind, time.monotonic()
    outcome = "delivered"
    try:
        answer = _send(row)
    except ConsoleError as error:
        outcome = "not_delivered"
        log.warning("notification.not_delivered", delivery=str(row.pk), error=error.message)
        refused = error.addresses if isinstance(error, mail.PartlyRefused) else row.refused
        _note(row, began_at, error=error.message, refused=refused)
    else:
        if answer is not None and not 200 <= answer.status < 300:
            outcome = "not_delivered"
            _note(row, began_at, answer=answer, error=_refusal(answer.status))
        else:
            _note(row, began_at, answer=answer)
    metrics.NOTIFICATIONS.labels(kind, outcome).inc()


@transaction.atomic
def _note(
    ours: Delivery,
    began_at: float,
    *,
    answer: gateway.Answer | None = None,
    error: str = "",
    refused: Iterable[str] = (),
) -> None:
    """What came of the try, unless its time was over and the row went on without it."""
    row = Delivery.objects.select_for_update().filter(pk=ours.pk, state=DeliveryState.PENDING).first()
    if row is None or (row.delivery_attempts, row.tried_at) != (ours.delivery_attempts, ours.tried_at):
        log.warning("notification.came_late", delivery=str(ours.pk), error=error)
        return
    row.took_ms = round((time.monotonic() - began_at) * 1000)
    row.status, row.answer = (answer.status, answer.text) if answer else (None, "")
    row.refused = list(refused)
    row.save(update_fields=["took_ms", "status", "answer", "refused"])
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
        left = (
            [one for one in channel.recipients if one in row.refused] if row.refused else channel.recipients
        )
        if left:  # who was refused may have been taken off the channel meanwhile
            mail.send(row.payload, left)
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

    The channel's lock has those of one channel decide one after the other. The row is taken under it: two
    that took their rows before would each wait for the other's time to end.
    """
    channel_id = Delivery.due().filter(pk=pk).values_list("channel_id", flat=True).first()
    if channel_id is None:
        return None
    # No key: alerts go on meanwhile.
    channel = Channel.objects.select_for_update(no_key=True).filter(pk=channel_id).first()
    row = outbox.claim(Delivery, pk)
    if channel is None or row is None:
        return None
    row.channel = channel
    if row.state != DeliveryState.PENDING:  # done with
        Delivery.objects.filter(pk=pk).update(next_attempt_at=None)
        return None
    if row.event == Event.TEST:
        return _begun(row)
    if not channel.is_active:
        row.end(DeliveryState.CANCELLED)
        return None
    others = channel.deliveries.exclude(pk=pk).exclude(event=Event.TEST)
    if until := _full_until(channel, others) or _tried_elsewhere_until(channel):
        _hold(row, until)
        return None
    waits = others.filter(WAITS, state=DeliveryState.PENDING)
    is_alone = bool(row.refused) or not waits.exists()  # some have got it: it is for the others only
    return _begun(row if is_alone else _gather(channel, row, waits))


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


def _tried_elsewhere_until(channel: Channel) -> datetime | None:
    """Where nobody answered, and another such channel is being tried: when to ask again.

    So all that are away keep one place of the worker at most, and clicks have the others.
    """
    vain = Delivery.objects.filter(UNANSWERED, state=DeliveryState.PENDING).exclude(event=Event.TEST)
    if not vain.filter(channel=channel).exists():
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
    now = timezone.now()
    under_way = vain.exclude(channel=channel).filter(took_ms=None, next_attempt_at__gt=now)
    return now + NEXT_TURN if under_way.exists() else None


def _begun(row: Delivery) -> Delivery:
    """This worker's until the lease ends."""
    now = timezone.now()
    row.tried_at, row.is_held, row.took_ms = now, False, None
    row.next_attempt_at = now + LEASES[ChannelKind(row.channel.kind)]
    row.save(update_fields=["tried_at", "is_held", "took_ms", "next_attempt_at"])
    return row


def _hold(row: Delivery, until: datetime) -> None:
    """It was no try."""
    values = {"is_held": True, "next_attempt_at": until}
    Delivery.objects.filter(pk=row.pk).update(**values, delivery_attempts=F("delivery_attempts") - 1)


def _gather(channel: Channel, row: Delivery, waits: QuerySet[Delivery]) -> Delivery:
    """One row that stands for all of them, as old and as often tried as they are."""
    id_, now = uuid7(), timezone.now()
    found = Delivery.objects.create(id=id_, channel=channel, event=Event.GATHERED, payload={})
    done = {"state": DeliveryState.GATHERED, "gathered_in": found, "is_held": False}
    taken = Delivery.objects.filter(Q(pk=row.pk) | Q(pk__in=waits.values("pk")))
    taken.filter(state=DeliveryState.PENDING).update(**done, next_attempt_at=None, ended_at=now)
    earlier = list(found.gathered.filter(event=Event.GATHERED))
    singles = found.gathered.exclude(event=Event.GATHERED)
    first = [*earlier, *singles.order_by("created_at", "pk")[:MOST_GATHERED]]
    told = list(_told_by(sorted(first, key=lambda one: (one.created_at, one.pk))))[:MOST_GATHERED]
    n_told = singles.count() + sum(one.payload["n"] for one in earlier)
    found.payload = _payload(str(id_), Event.GATHERED, {"n": n_told, "notifications": told})
    n_tries = found.gathered.exclude(pk=row.pk).aggregate(n=Max("delivery_attempts", default=0))["n"]
    found.delivery_attempts = max(n_tries + 1, row.delivery_attempts)
    in_vain = found.gathered.filter(UNANSWERED).order_by("-created_at")
    found.delivery_error = in_vain.values_list("delivery_error", flat=True).first() or ""
    found.created_at = found.gathered.aggregate(at=Min("created_at"))["at"]
    # What those stood for is this one's now: each is given up at its own time.
    Delivery.objects.filter(gathered_in__in=earlier).update(gathered_in=found)
    found.give_up_at = found.gathered.aggregate(at=Min("give_up_at"))["at"]
    found.save()
    return found


def _told_by(rows: Iterable[Delivery]) -> Iterable[dict[str, Any]]:
    for row in rows:
        payload = row.payload
        if row.event == Event.GATHERED:
            yield from payload["notifications"]
        else:
            yield {name: payload[name] for name in ("id", "event", "at", "alert")}
