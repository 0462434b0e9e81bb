"""Alert rules at work: every pipeline that a rule fits is judged from the mirror, by the worker's clock.

A finding raises the alert of its rule and pipeline once: what the alert was found at already, resolved or
not, is not found again, so a restart or somebody's *Resolve* brings none back.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from celery import shared_task
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.alerts.models import Alert
from core.alerts.states import UNRESOLVED
from core.lib.models import SyncState
from core.lib.templatetags import numbers
from pipelines import loops, verdicts
from pipelines.models import ENDED, RULE_PREFIX, AlertRule, Pipeline, Run, RunState
from pipelines.verdicts import Finding, Past, Watched

N_ENDED: Final = 10  # of each pipeline: those that overlapped may have ended in another order
POLLS: Final = ("pipelines.sync.sync_pipelines", "pipelines.sync.sync_runs")
CURRENT_WITHIN: Final = timedelta(minutes=1)
COLUMNS: Final = (
    *("pk", "dag_run_id", "state", "run_type"),
    *("created_at", "started_at", "ended_at", "run_after"),
)


@dataclass(frozen=True)
class Pair:
    """One rule at one pipeline, with their alert that is not resolved."""

    rule: AlertRule
    watched: Watched
    alert: Alert | None

    @property
    def key(self) -> str:
        return f"{self.rule.pk} {self.watched.dag_id}"


@shared_task(expires=15)
def look() -> None:
    """Judge every pair of rule and pipeline; one that breaks is set aside, and the others go on."""
    rules = list(AlertRule.objects.filter(is_active=True))
    unresolved = _unresolved()
    watched = _watched(rules)
    pairs = [
        Pair(rule, pipeline, unresolved.get((rule.alert_name, pipeline.dag_id)))
        for rule in rules
        for pipeline in watched
        if rule.fits(pipeline.dag_id)
    ]
    is_current, now = _is_current(), timezone.now()
    loops.ALERT_RULES.each(
        pairs,
        lambda pair: _judge(pair, is_current=is_current, now=now),
        key=lambda pair: pair.key,
        about=lambda pair: pair.watched.dag_id,
        is_all=True,
    )
    seen = {(pair.rule.alert_name, pair.watched.dag_id) for pair in pairs}
    for name, dag_id in unresolved.keys() - seen:
        alerts.settle(name, dag_id, reason=_("No rule watches it any more."))


def _is_current() -> bool:
    """Whether the mirror knows what Airflow does now."""
    states = SyncState.objects.in_bulk(POLLS)
    since = timezone.now() - CURRENT_WITHIN
    return len(states) == len(POLLS) and all(
        state.is_current and state.last_success_at and state.last_success_at > since
        for state in states.values()
    )


def _unresolved() -> dict[tuple[str, str], Alert]:
    """Alerts of rules and pipelines, whatever became of the rules."""
    found = Alert.objects.filter(rule__startswith=RULE_PREFIX, state__in=UNRESOLVED)
    return {(alert.rule, alert.subject): alert for alert in found}


def _watched(rules: Sequence[AlertRule]) -> list[Watched]:
    """The pipelines that some rule fits, with their runs: four queries, however many there are."""
    names = Pipeline.objects.filter(gone_at=None).values_list("pk", flat=True)
    return read([dag_id for dag_id in names if any(rule.fits(dag_id) for rule in rules)])


def read(dag_ids: Sequence[str]) -> list[Watched]:
    """These pipelines as they stand in the mirror."""
    runs = Run.objects.filter(dag_id=OuterRef("pk")).order_by("-created_at", "-pk")
    successes = runs.filter(state=RunState.SUCCESS).exclude(ended_at=None)
    rows = list(
        Pipeline.objects.filter(pk__in=dag_ids)
        .only("dag_id", "is_paused", "wanted_is_paused", "awake_at", "next_run_at")
        .annotate(
            ended=ArraySubquery(runs.filter(state__in=ENDED).values("pk")[:N_ENDED]),
            last_success_at=Subquery(successes.values("ended_at")[:1]),
        )
    )
    ended = pasts(Run.objects.filter(pk__in=[pk for row in rows for pk in row.ended]))
    under_way = pasts(Run.objects.filter(dag_id__in=dag_ids).exclude(state__in=ENDED))
    return [
        Watched(
            row.dag_id,
            is_paused=row.shows_paused or row.is_paused,
            awake_at=row.awake_at,
            next_run_at=row.next_run_at,
            last_success_at=_last_success(row.last_success_at, ended[row.dag_id]),
            ended=ended[row.dag_id],
            under_way=under_way[row.dag_id],
        )
        for row in rows
    ]


def pasts(runs: QuerySet[Run]) -> dict[str, list[Past]]:
    """The runs of each pipeline, as far as rules look at them."""
    found: dict[str, list[Past]] = defaultdict(list)
    for dag_id, *values in runs.order_by().values_list("dag_id", *COLUMNS):
        found[dag_id].append(Past(*values))
    return found


def _last_success(of_newest: datetime | None, ended: Iterable[Past]) -> datetime | None:
    """The latest end: the run that was made last need not be the one that ended last."""
    ends = [run.ended_at for run in ended if run.state == RunState.SUCCESS and run.ended_at]
    return max([*ends, *([of_newest] if of_newest else [])], default=None)


def _judge(pair: Pair, *, is_current: bool, now: datetime) -> None:
    rule, watched, alert = pair.rule, pair.watched, pair.alert
    found = verdicts.find(rule.kind, watched, limit=rule.limit, since=rule.judged_from, now=now)
    if found is None:
        # What a mirror says that lags behind is no news.
        if alert is not None and (is_current or watched.is_paused):
            alerts.settle(rule.alert_name, watched.dag_id, reason=_settled(rule, watched))
        return
    alert = alert or _latest(rule, watched)
    is_news = alert is None or alert.last_found_at < found.at
    if is_news and (is_current or rule.kind == verdicts.NO_SUCCESS):
        _raise(rule, watched, found)


def _latest(rule: AlertRule, watched: Watched) -> Alert | None:
    """One that is resolved: asked for only where something is found."""
    found = Alert.objects.filter(rule=rule.alert_name, subject=watched.dag_id)
    return found.order_by("-pk").first()


def _settled(rule: AlertRule, watched: Watched) -> str:
    if watched.is_paused and rule.kind in verdicts.OF_THE_SWITCHED_ON:
        return _("The pipeline is paused.")
    return {
        verdicts.FAILED: _("A later run succeeded."),
        verdicts.SLOW: _("A later run took less."),
        verdicts.NO_SUCCESS: _("A run succeeded."),
        verdicts.NOT_STARTED: _("The run began."),
    }[rule.kind]


def _raise(rule: AlertRule, watched: Watched, found: Finding) -> None:
    run = found.run
    url = reverse("pipelines:pipeline-detail", args=[watched.dag_id])
    evidence_url = ""
    if run is not None:
        url = reverse("pipelines:run-detail", args=[run.pk])
        if rule.kind == verdicts.FAILED:
            evidence_url = reverse("pipelines:run-failure", args=[run.pk])
    alerts.raise_alert(
        rule.alert_name,
        subject=watched.dag_id,
        title=in_words(rule, watched.dag_id),
        detail=_("Found by the rule for %(pattern)s.") % {"pattern": rule.pattern},
        facts=_facts(rule, watched, found),
        url=url,
        evidence_url=evidence_url,
        severity=rule.severity,
        cooldown=timedelta(0),  # each finding is told once as it is
    )


def in_words(rule: AlertRule, dag_id: str) -> str:
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
        facts["ended"] = _iso(found.run.ended_at)
    if found.seconds is not None:
        facts["time"] = {"value": round(found.seconds), "unit": "s", "threshold": rule.limit_s}
    if rule.kind == verdicts.NO_SUCCESS:
        facts["last success"] = _iso(watched.last_success_at)
    if rule.kind == verdicts.NOT_STARTED:
        facts["expected"] = _iso(found.at - rule.limit)
    return facts


def _iso(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None


def settle_all(rule: AlertRule, *, reason: str) -> None:
    """Resolve every alert of the rule."""
    for alert in Alert.objects.filter(rule=rule.alert_name, state__in=UNRESOLVED):
        alerts.settle(rule.alert_name, alert.subject, reason=reason)
