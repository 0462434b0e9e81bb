"""The loops over what MLflow sends, and over our own rows about it; each sets aside what does not fit."""

from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from core.lib.aside import Loop

EXPERIMENTS = Loop("models.experiments", _("Experiments"), thing="experiment")
RUNS = Loop("models.runs", _("MLflow runs"), thing="experiment", item="mlflow-run")
GOING_RUNS = Loop("models.going-runs", _("MLflow runs that were still going"), item="mlflow-run")
MODELS = Loop("models.models", _("Registered models"), thing="model")
VERSIONS = Loop("models.versions", _("Model versions"), thing="model")
ALIASES = Loop(
    "models.aliases", _("Aliases held against the ledger"), thing="model", longest_retry=timedelta(minutes=1)
)
LOST = Loop("models.lost-champions", _("Champions that MLflow has no more"), thing="model")
EXPIRED = Loop("models.expired-requests", _("Promotion requests to expire"), thing="model")
