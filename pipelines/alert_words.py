"""What alerts of rules for pipelines say: a line, facts and links, and why they are over; and what one said.

Which are raised, and when, is for `alerting`.
"""

from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.alerts.models import Alert
from core.lib.templatetags import numbers
from pipelines import verdicts
from pipelines.alert_rule_models import AlertRule
from pipelines.verdicts import Finding, Watched


def gone(dag_id: str) -> str:
    """That Airflow has the pipeline no more."""
    message = _("Airflow no longer has the pipeline “%(dag_id)s”: its file was removed or renamed.")
    return message % {"dag_id": dag_id}


def said(alert: Alert, name: str) -> Any:
    """The value of one of its facts; None where it has none of that name."""
    return next((fact.get("value") for fact in alert.facts if fact["name"] == name), None)


def said_at(alert: Alert, name: str) -> datetime | None:
    """The same of a fact that is a time."""
    value = said(alert, name)
    return datetime.fromisoformat(str(value)) if value else None


def settled(rule: AlertRule, watched: Watched, alert: Alert, now: datetime) -> str:
    """Why an alert of a rule that finds nothing any more is over."""
    if watched.is_paused and rule.kind in verdicts.OF_THE_SWITCHED_ON:
        return _("The pipeline is paused.")
    last, expected_at = watched.last_success_at, said_at(alert, "expected") or alert.first_found_at
    if rule.kind == verdicts.NO_SUCCESS and (last is None or last + rule.limit <= now):
        return _("The pipeline was away or off for long: its time is counted anew.")
    has_begun = verdicts.has_begun(watched, expected_at=expected_at, now=now)
    if rule.kind == verdicts.NOT_STARTED and not has_begun:
        return _("The run is no longer expected.")
    return {
        verdicts.SLOW: _("A later run took less."),
        verdicts.NO_SUCCESS: _("A run succeeded."),
        verdicts.NOT_STARTED: _("The run began."),
    }[rule.kind]


def tell(rule: AlertRule, watched: Watched, found: Finding) -> None:
    """Raise the alert, or count the finding on it."""
    run = found.run
    detail = _("Found by the rule for %(pattern)s.") % {"pattern": rule.pattern}
    if watched.is_gone(timezone.now()):
        detail = f"{gone(watched.dag_id)} {detail}"
    url = reverse("pipelines:pipeline-detail", args=[watched.dag_id])
    evidence_url = ""
    if run is not None:
        url = reverse("pipelines:run-detail", args=[run.pk])
        if rule.kind == verdicts.FAILED:
            evidence_url = reverse("pipelines:run-failure", args=[run.pk])
    alerts.raise_alert(
        rule.alert_name,
        subject=watched.dag_id,
        title=_title(rule, watched.dag_id),
        detail=detail,
        facts=_facts(rule, watched, found),
        url=url,
        evidence_url=evidence_url,
        severity=rule.severity,
        cooldown=timedelta(0),  # each finding is told once as it is
    )


def _title(rule: AlertRule, dag_id: str) -> str:
    """What is wrong with the pipeline, in one line."""
    values = {"name": dag_id, "limit": numbers.span(rule.limit)}
    return {
        verdicts.FAILED: _("%(name)s failed"),
        verdicts.SLOW: _("%(name)s takes longer than %(limit)s"),
        verdicts.NO_SUCCESS: _("%(name)s: no success for %(limit)s"),
        verdicts.NOT_STARTED: _("%(name)s did not start within %(limit)s"),
    }[rule.kind] % values


def _facts(rule: AlertRule, watched: Watched, found: Finding) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if found.run is not None:
        facts["run"] = found.run.dag_run_id
        facts["ended"] = found.run.ended_at
    if found.seconds is not None:
        facts["time"] = {"value": round(found.seconds), "unit": "s", "threshold": rule.limit_s}
    if rule.kind == verdicts.NO_SUCCESS:
        facts["last success"] = watched.last_success_at
    if watched.is_gone(timezone.now()):
        facts["gone since"] = watched.gone_at
    if rule.kind == verdicts.NOT_STARTED and found.at - rule.limit != watched.gone_at:
        facts["expected"] = found.at - rule.limit
    return facts
