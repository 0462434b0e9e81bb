"""What a judged window leads to: one alert an episode, which a quiet window ends, or the end of watching."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.alerts import queries as alerts_so_far
from core.lib import live
from models_registry import queries as registry
from predictions.drift import queries, words
from predictions.models import DriftVerdict, DriftWindow

RULE = "drift"
MOST_FACTS = 30


def tell(window: DriftWindow) -> None:
    """In the window's own transaction. A window without a verdict says nothing about an open alert."""
    live.publish("drift", [window.model])
    if not _is_of_the_model(window):
        return
    if window.is_drifted:
        _raise(window)
    elif window.verdict == DriftVerdict.STABLE:
        reason = _("Window %(id)s of %(n)d predictions looks like the reference again.")
        alerts.settle(RULE, window.model, reason=reason % {"id": window.pk, "n": window.n})


def settle_unwatched(champions: Collection[str]) -> None:
    """End the alerts that no window can settle any more. champions: models that have one."""
    unwatched = queries.unwatched()
    for alert in alerts_so_far.alerts(rule=RULE, state=alerts_so_far.UNRESOLVED_WORD):
        if alert.subject not in champions:
            alerts.settle(RULE, alert.subject, reason=_("The model has no champion any more."))
        elif alert.subject in unwatched:
            alerts.settle(RULE, alert.subject, reason=_("The model is not watched for drift any more."))


def _is_of_the_model(window: DriftWindow) -> bool:
    """Alerts are no matter of a demonstration's predictions of a real model, nor of a former champion's."""
    champion = registry.champion(window.model)
    found = (window.version, window.is_demo)
    return champion is not None and (champion.version, champion.is_demo) == found


def _raise(window: DriftWindow) -> None:
    place = [window.model, window.pk]
    alerts.raise_alert(
        RULE,
        subject=window.model,
        title=_("%(model)s: %(columns)s drifted")
        % {"model": window.model, "columns": words.drifted_titles(window)},
        detail=_detail(window),
        facts=_facts(window),
        url=reverse("drift:window-detail", args=place),
        evidence_url=reverse("drift:window-evidence", args=place),
        is_demo=window.is_demo,
        cooldown=_cooldown(window.model),
    )


def _cooldown(model: str) -> timedelta:
    """A drift after a quiet window is another episode. Who resolved one by hand is not told again at once."""
    latest = alerts_so_far.alerts(rule=RULE, subject=model).first()
    return alerts.COOLDOWN if latest is not None and latest.handled_by else timedelta(0)


def _detail(window: DriftWindow) -> str:
    whole = _("%(n)d predictions of version %(version)s differ from the data that it was trained on.")
    sentences = [
        f"{words.title_of(column)}: {' '.join(words.findings(column))}" for column in window.drifted_columns
    ]
    return "\n".join([whole % {"n": window.n, "version": window.version}, *sentences])


def _facts(window: DriftWindow) -> dict[str, Any]:
    facts: dict[str, Any] = {_("Predictions"): window.n, _("Version"): window.version, _("Window"): window.pk}
    for column in window.drifted_columns:
        for check in column["checks"]:
            if check["is_drifted"] and len(facts) < MOST_FACTS:
                facts[words.fact_name(column, check)] = words.fact(check)
    return facts
