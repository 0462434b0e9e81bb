"""MLflow's alias held against the ledger: an alert while it says something else, until it is right again."""

from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter
from typing import Final

from django.db import transaction
from django.urls import reverse
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.lib import aside
from models_registry import loops, mirror, queries
from models_registry.gateway import MlflowGateway
from models_registry.mlflow_types import ModelInfo
from models_registry.models import RegisteredModel

RULE: Final = "alias-changed"
COOLDOWN: Final = timedelta(minutes=10)


def check(mlflow: MlflowGateway, names: Iterable[str]) -> None:
    """Raise or settle the alert of each of these models."""
    rows = list(RegisteredModel.objects.filter(name__in=list(names), gone_at=None))
    suspects = [row.name for row in rows if queries.alias_warning(row)]
    key = attrgetter("name")
    loops.ALIASES.each([row for row in rows if row.name not in suspects], settle, key=key, about=key)
    if suspects:
        # What was read before the ledger may be older than a promotion; what is read after it is not.
        again = [info for info in aside.readable(mlflow.models()) if info.name in suspects]
        loops.ALIASES.each(again, _look_again, key=key, about=key)


def _look_again(info: ModelInfo) -> None:
    mirror.save_model(info)
    _raise(RegisteredModel.objects.get(name=info.name))


@transaction.atomic
def _raise(model: RegisteredModel) -> None:
    found = queries.alias_warning(model)
    if found is None:
        return
    now = model.periods.filter(until=None).select_related("version").first()
    alerts.raise_alert(
        RULE,
        subject=model.name,
        title=_("MLflow's alias of %(model)s was changed elsewhere") % {"model": model.name},
        detail=_(
            "What the ledger names is served; the alias is not. Put the alias back in MLflow, or have the "
            "other version pass its gate and be approved here."
        ),
        facts={
            _("Alias “champion” in MLflow"): _version(found["alias"]),
            _("Champion of the ledger"): _version(found["ledger"]),
        },
        url=reverse("models:model-detail", args=[model.name]),
        is_demo=now is not None and now.version.is_demo,
        cooldown=COOLDOWN,
    )


def settle(model: RegisteredModel) -> None:
    """Resolve its alert, if it has one and the alias is what the ledger says, or can no more be."""
    now = model.periods.filter(until=None).select_related("version").first()
    if now is not None and now.version.gone_at is not None:
        alerts.settle(RULE, model.name, reason=_("MLflow no longer has the champion: see its own alert."))
    elif model.alias_version == (now.version.version if now else None):
        alerts.settle(RULE, model.name, reason=_("The alias is what the ledger says again."))


def _version(number: int | None) -> str:
    return _("none") if number is None else f"v{number}"
