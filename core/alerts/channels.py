"""Channels of notifications: made, changed, tried out, given a new secret, removed."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.alerts import deliveries, gateway, mail, queries, sealing
from core.alerts.models import Channel, Delivery
from core.alerts.states import ChannelKind, Event
from core.audit.actions import record
from core.lib import live
from core.lib.edge import refused
from core.lib.errors import Conflict

SCOPE: Final = "alerts.rules"
MOST_CHANNELS: Final = 50
MOST_RECIPIENTS: Final = 20
# For which the secret before a change signs too, so that the other side can change when it suits.
OVERLAP: Final = timedelta(hours=24)
FIELDS: Final = ("name", "is_active", "url", "recipients", "severity", "rules", "subjects", "most_per_minute")
PLAIN: Final = tuple(name for name in FIELDS if name != "url")


@transaction.atomic
def create(kind: str, *, by: User, **values: Any) -> tuple[Channel, str]:
    """A channel and, of a webhook, the secret it signs with: nobody sees that again.

    values: fields of the channel. Raises InvalidRequest at their names, Conflict when there are too many.
    """
    policy.check(by, SCOPE)
    if Channel.objects.count() >= MOST_CHANNELS:
        raise Conflict(_("There are %(n)d channels already: remove one first.") % {"n": MOST_CHANNELS})
    channel = Channel(kind=kind, **_checked(kind, values, None))
    channel.save()
    secret = _new_secret(channel) if kind == ChannelKind.WEBHOOK else ""
    record("channel.create", channel, by=by, after=_audited(channel))
    live.publish("channels", [channel.pk])
    return channel, secret


@transaction.atomic
def change(channel_id: int, *, by: User, **values: Any) -> Channel:
    """Other values for some fields; what is under way goes to where the channel leads then."""
    policy.check(by, SCOPE, channel_id)
    channel = _held(channel_id)
    before = _audited(channel)
    for name, value in _checked(channel.kind, values, channel).items():
        setattr(channel, name, value)
    channel.save()
    after = _audited(channel)
    if "url" in values:
        after["url_changed"] = True  # the path, which nobody else may read, may be all that changed
    record("channel.change", channel, by=by, before=before, after=after)
    live.publish("channels", [channel.pk])
    return channel


@transaction.atomic
def rotate(channel_id: int, *, by: User) -> tuple[Channel, str]:
    """A new secret; the old one, if it can be read, signs beside it for a day.

    Raises Conflict for an e-mail channel.
    """
    policy.check(by, SCOPE, channel_id)
    channel = _held(channel_id)
    if channel.kind != ChannelKind.WEBHOOK:
        raise Conflict(_("Only webhooks have a secret."))
    channel.sealed_previous, channel.previous_until = "", None
    if sealing.can_open(channel.sealed_secret, channel.pk):
        channel.sealed_previous, channel.previous_until = channel.sealed_secret, timezone.now() + OVERLAP
    secret = _new_secret(channel)
    record("channel.rotate", channel, by=by)
    live.publish("channels", [channel.pk])
    return channel, secret


@transaction.atomic
def remove(channel_id: int, *, by: User) -> None:
    """With the log of its notifications; what is under way is not sent any more."""
    policy.check(by, SCOPE, channel_id)
    channel = _held(channel_id)
    record("channel.remove", channel, by=by, before=_audited(channel))
    channel.delete()
    live.publish("channels")


@transaction.atomic
def test(channel_id: int, *, by: User) -> Delivery:
    """Send a notification that says it is a test."""
    policy.check(by, SCOPE, channel_id)
    channel = _held(channel_id)
    if channel.kind == ChannelKind.EMAIL and not mail.is_configured():
        raise Conflict(_("E-mail is not configured: an administrator can set CONSOLE_EMAIL_URL."))
    row = deliveries.add(channel, Event.TEST, told={"url": deliveries.address(channel.get_absolute_url())})
    record("channel.test", channel, by=by)
    return row


@transaction.atomic
def resend(channel_id: int, delivery_id: UUID, *, by: User) -> Delivery:
    """Send one again that was delivered, given up, gathered or cancelled. Raises NotFound, Conflict."""
    policy.check(by, SCOPE, channel_id)
    channel = _held(channel_id)
    queries.delivery(channel_id, delivery_id)  # raises NotFound
    row = Delivery.objects.select_for_update().get(pk=delivery_id)
    if not row.is_past_its_first_try:
        raise Conflict(_("It is on its way already."))
    deliveries.send_again(row)
    record("channel.resend", channel, by=by, after={"delivery": str(row.pk)})
    return row


def _held(channel_id: int) -> Channel:
    queries.channel(channel_id)  # raises NotFound
    return Channel.objects.select_for_update().get(pk=channel_id)


def _new_secret(channel: Channel) -> str:
    secret = sealing.new_secret()
    channel.sealed_secret = sealing.seal(secret, channel.pk)
    channel.save(update_fields=["sealed_secret", "sealed_previous", "previous_until"])
    return secret


def _audited(channel: Channel) -> dict[str, Any]:
    """Without paths and queries of addresses: those hold tokens."""
    return {"target": channel.target, **{name: getattr(channel, name) for name in PLAIN}}


def _checked(kind: str, values: dict[str, Any], channel: Channel | None) -> dict[str, Any]:
    """The values as they are kept. Raises InvalidRequest at the first that cannot be."""
    found: dict[str, Any] = {name: values[name] for name in FIELDS if name in values}
    is_new = channel is None
    if "name" in found:
        others = Channel.objects.filter(name=found["name"])
        if (others if is_new else others.exclude(pk=channel.pk)).exists():  # type: ignore[union-attr]
            raise refused("name", _("Another channel has this name."))
    own, others_own = ("url", "recipients") if kind == ChannelKind.WEBHOOK else ("recipients", "url")
    if others_own in found:
        raise refused(others_own, _("A channel of this kind has none."))
    if is_new or own in found:
        found[own] = (
            gateway.check_url(found.get(own, "")) if own == "url" else _recipients(found.get(own, []))
        )
    return found


def _recipients(given: list[str]) -> list[str]:
    found = list(dict.fromkeys(given))
    if not 1 <= len(found) <= MOST_RECIPIENTS:
        words = _("Name from 1 to %(n)d addresses of people.") % {"n": MOST_RECIPIENTS}
        raise refused("recipients", words)
    for address in found:
        if not _is_recipient(address):
            words = _("“%(address)s” is no e-mail address.") % {"address": address[:100]}
            raise refused("recipients", words)
    return found


def _is_recipient(address: str) -> bool:
    try:
        validate_email(address)
    except ValidationError:
        return False
    return mail.is_address(address)
