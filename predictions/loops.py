"""The loops over what others send, for what does not fit."""

from django.utils.translation import gettext_lazy as _

from core.lib.aside import Loop

RECORDS = Loop("predictions.records", _("Prediction records"), thing="model")
