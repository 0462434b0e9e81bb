"""What the worker does for alerts by the clock."""

from celery import shared_task

from core.alerts import aside_alerts


@shared_task(expires=15)
def look_for_set_aside() -> None:
    """Tell of what was set aside, and of what fits again."""
    aside_alerts.look()
