"""How a state looks: its kind (the colour), its icon and its word, in one table for every page."""

from typing import NamedTuple

from django.utils.translation import gettext_lazy as _

OK, RUN, BAD, WAIT, IDLE = "ok", "run", "bad", "wait", "idle"


class Look(NamedTuple):
    kind: str
    icon: str
    word: object


LOOKS: dict[str, Look] = {
    "queued": Look(IDLE, "clock", _("queued")),
    "scheduled": Look(IDLE, "clock", _("scheduled")),
    "requested": Look(IDLE, "clock", _("requested")),
    "deferred": Look(IDLE, "clock", _("deferred")),
    "pending": Look(IDLE, "clock", _("pending")),
    "candidate": Look(IDLE, "clock", _("candidate")),
    "starting": Look(RUN, "spinner", _("starting")),
    "running": Look(RUN, "spinner", _("running")),
    "checking": Look(RUN, "spinner", _("checking")),
    "restarting": Look(RUN, "spinner", _("restarting")),
    "awaiting_input": Look(WAIT, "hand", _("awaits input")),
    "up_for_retry": Look(WAIT, "clock", _("up for retry")),
    "up_for_reschedule": Look(WAIT, "clock", _("up for reschedule")),
    "success": Look(OK, "check", _("success")),
    "succeeded": Look(OK, "check", _("succeeded")),
    "passed": Look(OK, "check", _("passed")),
    "approved": Look(OK, "check", _("approved")),
    "champion": Look(OK, "check", _("champion")),
    "delivered": Look(OK, "check", _("delivered")),
    "completed": Look(OK, "check", _("completed")),
    "done": Look(OK, "check", _("done")),
    "live": Look(OK, "check", _("live")),
    "healthy": Look(OK, "check", _("healthy")),
    "active": Look(OK, "check", _("active")),
    "failed": Look(BAD, "x", _("failed")),
    "refused": Look(BAD, "x", _("refused")),
    "rejected": Look(BAD, "x", _("rejected")),
    "upstream_failed": Look(BAD, "x", _("upstream failed")),
    "unhealthy": Look(BAD, "x", _("not answering")),
    "revoked": Look(BAD, "x", _("revoked")),
    "waiting": Look(WAIT, "hand", _("waiting")),
    "needs_approval": Look(WAIT, "hand", _("waits for approval")),
    "inconclusive": Look(WAIT, "hand", _("inconclusive")),
    "look": Look(WAIT, "hand", _("look")),
    "warning": Look(WAIT, "alert", _("warning")),
    "critical": Look(BAD, "alert", _("critical")),
    "info": Look(RUN, "info", _("info")),
    "open": Look(WAIT, "bell", _("open")),
    "acknowledged": Look(RUN, "user", _("acknowledged")),
    "muted": Look(IDLE, "bell-off", _("muted")),
    "resolved": Look(OK, "check", _("resolved")),
    "drifted": Look(BAD, "alert", _("drifted")),
    "stable": Look(OK, "check", _("stable")),
    "not_enough": Look(IDLE, "minus", _("not enough")),
    "paused": Look(IDLE, "pause", _("paused")),
    "cancelled": Look(IDLE, "ban", _("cancelled")),
    "withdrawn": Look(IDLE, "ban", _("withdrawn")),
    "stopped": Look(IDLE, "ban", _("stopped")),
    "lost": Look(IDLE, "help", _("lost")),
    "expired": Look(IDLE, "clock-off", _("expired")),
    "gathered": Look(IDLE, "minus", _("gathered")),
    "superseded": Look(IDLE, "minus", _("superseded")),
    "retired": Look(IDLE, "minus", _("retired")),
    "archived": Look(IDLE, "minus", _("archived")),
    "skipped": Look(IDLE, "minus", _("skipped")),
    "removed": Look(IDLE, "minus", _("removed")),
    "inactive": Look(IDLE, "ban", _("inactive")),
    "system": Look(IDLE, "system", _("system")),
    "one_time_password": Look(WAIT, "key", _("one-time password")),
    # of Kafka's consumer groups; "stable" is above
    "empty": Look(IDLE, "minus", _("empty")),
    "dead": Look(IDLE, "ban", _("gone")),
    "unknown": Look(WAIT, "help", _("unknown")),
    "preparing_rebalancing": Look(RUN, "spinner", _("about to share out partitions")),
    "completing_rebalancing": Look(RUN, "spinner", _("sharing out partitions")),
    "disabled": Look(IDLE, "minus", _("disabled")),
    "no_status": Look(IDLE, "minus", _("not reached")),
    "none": Look(IDLE, "minus", _("not reached")),
}


def look_of(value: object) -> Look:
    """The look of a state; one that the table does not know is grey and keeps its own word."""
    key = str(value or "none").lower().replace(" ", "_").replace("-", "_")
    return LOOKS.get(key) or Look(IDLE, "minus", str(value).replace("_", " "))
