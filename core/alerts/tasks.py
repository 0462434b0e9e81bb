"""What the worker does for alerts by the clock."""

from celery import shared_task

from core.alerts import aside_alerts
from core.alerts.models import Alert, Delivery
from core.alerts.states import State
from core.lib import retention


@shared_task(expires=15)
def look_for_set_aside() -> None:
    """Tell of what was set aside, and of what fits again."""
    aside_alerts.look()


@shared_task
def clear_old() -> None:
    """Alerts that were resolved long ago go, with their timelines, and notifications that are done with.

    The audit trail keeps who did what.
    """
    before = retention.before("CONSOLE_ALERTS_KEEP_DAYS")
    if before is not None:
        retention.clear(Alert.objects.filter(state=State.RESOLVED, state_since__lt=before))
    before = retention.before("CONSOLE_NOTIFICATIONS_KEEP_DAYS")
    if before is not None:
        retention.clear(Delivery.objects.filter(ended_at__lt=before))
