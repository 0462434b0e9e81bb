from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "core.alerts"
    label = "alerts"

    def ready(self) -> None:
        """Name what is kept for some days, and what the sweep sends again."""
        from django.utils.translation import gettext_lazy as _

        from core.alerts import deliveries
        from core.alerts.models import Delivery
        from core.lib import outbox, retention

        outbox.register(Delivery, deliveries.deliver)

        retention.register(_("Alerts that were resolved, with their timelines"), "CONSOLE_ALERTS_KEEP_DAYS")
        retention.register(
            _("Notifications that were delivered or given up"), "CONSOLE_NOTIFICATIONS_KEEP_DAYS"
        )
