"""What a judged window leads to: one alert an episode, which quiet windows end, or the end of watching."""

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
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
# An effect that lies at its limit passes it in every other window: one stable window ends no episode.
N_QUIET = 2


def tell(window: DriftWindow) -> None:
    """In the window's own transaction. A window without a verdict says nothing about an open alert."""
    live.publish("drift", [window.model])
    if not _is_of_the_model(window):
        return
    _end_of_another_version(window)
    if window.is_drifted:
        _raise(window)
    elif window.verdict == DriftVerdict.STABLE and _is_quiet(queries.verdicts_until(window)):
        reason = _("Window %(id)s of %(n)d predictions looks like the reference again.")
        alerts.settle(RULE, window.model, reason=reason % {"id": window.pk, "n": window.n})


def _end_of_another_version(window: DriftWindow) -> None:
    """An alert is about the version that drifted: the first window of the next champion ends it."""
    judged = DriftWindow.objects.filter(model=window.model).exclude(pk=window.pk).order_by("-pk")
    before = judged.values_list("version", "is_demo").first()
    if before is not None and before != (window.version, window.is_demo):
        alerts.settle(RULE, window.model, reason=_("Another version answers now."))


def settle_unwatched() -> None:
    """End the alerts that no window can settle any more."""
    # The alerts first: one that is raised meanwhile may be of a champion that was none before.
    standing = list(alerts_so_far.alerts(rule=RULE, state=alerts_so_far.UNRESOLVED_WORD))
    champions, unwatched = registry.champion_numbers(), queries.unwatched()
    for alert in standing:
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
        cooldown=_cooldown(window),
    )


def _cooldown(window: DriftWindow) -> timedelta:
    """Who resolved an alert by hand is not told of the same episode again at once."""
    latest = alerts_so_far.alerts(rule=RULE, subject=window.model).first()
    if latest is None or not latest.handled_by:
        return timedelta(0)
    before = queries.verdicts_until(window).exclude(pk=window.pk)
    is_over = _is_quiet(before.filter(judged_at__gt=latest.state_since))
    return timedelta(0) if is_over else alerts.COOLDOWN


def _is_quiet(windows: QuerySet[DriftWindow]) -> bool:
    """Whether so many in a row looked like the reference. windows: those with a verdict, newest first."""
    last = list(windows.values_list("verdict", flat=True)[:N_QUIET])
    return last == [DriftVerdict.STABLE] * N_QUIET


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
