"""Champions that MLflow has no more: an alert each, for as long as they are champion and gone."""

from typing import Final

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.alerts.models import Alert
from core.alerts.states import UNRESOLVED
from models_registry import loops
from models_registry.models import ChampionPeriod

RULE: Final = "champion-gone"


def look() -> None:
    """Raise, count and settle. What came back has its alias written, if that was given up meanwhile."""
    here = ChampionPeriod.objects.filter(until=None).select_related("model", "version")
    is_gone = Q(version__gone_at__isnull=False) | Q(model__gone_at__isnull=False)
    gone = list(here.filter(is_gone))
    loops.LOST.each(
        gone, _raise, key=lambda row: row.model.name, about=lambda row: row.model.name, is_all=True
    )
    names = {period.model.name for period in gone}
    for alert in Alert.objects.filter(rule=RULE, state__in=UNRESOLVED).exclude(subject__in=names):
        alerts.settle(RULE, alert.subject, reason=_("MLflow has the champion again, or another is champion."))
    given_up = here.filter(next_attempt_at=None).exclude(is_gone).exclude(delivery_error="")
    given_up.update(next_attempt_at=timezone.now())


def _raise(period: ChampionPeriod) -> None:
    model, version = period.model, period.version
    gone_at = version.gone_at or model.gone_at
    alerts.raise_alert(
        RULE,
        subject=model.name,
        title=_("MLflow no longer has the champion of %(model)s") % {"model": model.name},
        detail=_(
            "The version was deleted in MLflow, or its model was deleted or renamed. It goes on answering"
            " where serving holds its files, and may not be found elsewhere. Promote another version, or end"
            " the champion."
        ),
        facts={_("Champion of the ledger"): f"v{version.version}", _("Missed since"): gone_at},
        url=reverse("models:model-detail", args=[model.name]),
        is_demo=version.is_demo,
    )
