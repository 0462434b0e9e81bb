from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "core.alerts"
    label = "alerts"

    def ready(self) -> None:
        """Name what is kept for some days."""
        from django.utils.translation import gettext_lazy as _

        from core.lib import retention

        retention.register(_("Alerts that were resolved, with their timelines"), "CONSOLE_ALERTS_KEEP_DAYS")
