"""Loops of this app over what others send."""

from typing import Final

from django.utils.translation import gettext_lazy as _

from core.lib.aside import Loop

PROMETHEUS: Final = Loop("alerts.prometheus", _("Alerts of Prometheus"))
