"""The loops over champions and their predictions; each sets aside what does not fit."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from core.lib.aside import Loop

DRIFT = Loop(
    "drift.champions", _("Models watched for drift"), thing="model", longest_retry=timedelta(minutes=5)
)
WINDOWS = Loop(
    "drift.windows", _("Windows of predictions to judge"), thing="model", longest_retry=timedelta(minutes=10)
)
RECORDS = Loop("predictions.records", _("Prediction records"), thing="model")
