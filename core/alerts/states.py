"""The small machine of an alert: what it can be, and what may follow what."""

from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from core.lib.errors import Conflict


class State(models.TextChoices):
    OPEN = "open", gettext_lazy("open")
    ACKNOWLEDGED = "acknowledged", gettext_lazy("acknowledged")
    MUTED = "muted", gettext_lazy("muted")
    RESOLVED = "resolved", gettext_lazy("resolved")


class Severity(models.TextChoices):
    CRITICAL = "critical", gettext_lazy("critical")
    WARNING = "warning", gettext_lazy("warning")
    INFO = "info", gettext_lazy("info")


class ChannelKind(models.TextChoices):
    WEBHOOK = "webhook", gettext_lazy("webhook")
    EMAIL = "email", gettext_lazy("e-mail")


class Event(models.TextChoices):
    """What a notification tells. Gathered: of many that came within a minute."""

    OPENED = "opened", gettext_lazy("opened")
    REOPENED = "reopened", gettext_lazy("opened again")
    WORSENED = "worsened", gettext_lazy("more severe")
    RESOLVED = "resolved", gettext_lazy("resolved")
    GATHERED = "gathered", gettext_lazy("gathered")
    TEST = "test", gettext_lazy("test")


class DeliveryState(models.TextChoices):
    """Cancelled: its channel was switched off meanwhile. Gathered: told in another one."""

    PENDING = "pending", gettext_lazy("pending")
    DELIVERED = "delivered", gettext_lazy("delivered")
    FAILED = "failed", gettext_lazy("failed")
    GATHERED = "gathered", gettext_lazy("gathered")
    CANCELLED = "cancelled", gettext_lazy("cancelled")


UNRESOLVED = (State.OPEN, State.ACKNOWLEDGED, State.MUTED)

# Muting again sets another end; a finding made after that opens the alert again.
STEPS: dict[str, frozenset[str]] = {
    State.OPEN: frozenset({State.ACKNOWLEDGED, State.MUTED, State.RESOLVED}),
    State.ACKNOWLEDGED: frozenset({State.MUTED, State.RESOLVED}),
    State.MUTED: frozenset(State),
    State.RESOLVED: frozenset(),
}


def check_step(now: str, then: str) -> None:
    """Raises Conflict, in words, when an alert that is `now` cannot become `then`."""
    if then in STEPS[now]:
        return
    if now == State.RESOLVED:
        raise Conflict(_("The alert is resolved. Should the finding be made again, a new alert opens."))
    words = {"now": State(now).label, "then": State(then).label}
    raise Conflict(_("The alert is %(now)s, so it cannot become %(then)s.") % words)
