"""Alert rules: made, changed, switched, removed, and what one would have raised of late."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.alerts.models import Alert
from core.alerts.states import UNRESOLVED
from core.audit.actions import record
from core.lib import live
from core.lib.edge import refused
from core.lib.errors import Conflict, NotFound
from pipelines import alerting, verdicts, watched_pipelines
from pipelines.alert_rule_models import AlertRule
from pipelines.models import Pipeline, Run
from pipelines.verdicts import Finding

SCOPE: Final = "alerts.rules"
MOST_RULES: Final = 200
LONGEST_LIMIT_S: Final = 366 * 24 * 3600
LEAST_TO_START_S: Final = 60  # scheduler and mirror take seconds each
FIELDS: Final = ("kind", "pattern", "limit_s", "severity", "is_active")
BACK: Final = timedelta(days=7)
MOST_RUNS: Final = 20_000  # that a preview reads, the newest
MOST_SHOWN: Final = 100


@dataclass(frozen=True)
class Raised:
    """An alert that a rule would have raised."""

    dag_id: str
    at: datetime
    finding: Finding

    @property
    def run_id(self) -> int | None:
        """The run at which it would have."""
        return self.finding.run.pk if self.finding.run else None


@dataclass(frozen=True)
class Preview:
    """Of the last 7 days: how many pipelines fit, how many alerts there would have been, the newest."""

    n_pipelines: int
    n: int
    newest: Sequence[Raised]


def rules() -> QuerySet[AlertRule]:
    """By pattern."""
    return AlertRule.objects.order_by("pattern", "kind", "limit_s")


def rule(rule_id: int) -> AlertRule:
    """Raises NotFound."""
    found = AlertRule.objects.filter(pk=rule_id).first()
    if found is None:
        raise NotFound(_("There is no alert rule %(id)s.") % {"id": rule_id})
    return found


def rules_for(dag_id: str) -> list[AlertRule]:
    """Those that watch the pipeline, and those that would if they were on."""
    return [one for one in rules() if one.fits(dag_id)]


def with_alerts(some: Sequence[AlertRule]) -> list[tuple[AlertRule, int]]:
    """Each with how many of its alerts are not resolved."""
    names = [one.alert_name for one in some]
    unresolved = Alert.objects.filter(rule__in=names, state__in=UNRESOLVED).order_by()
    counts = dict(unresolved.values_list("rule").annotate(n=Count("pk")))
    return [(one, counts.get(one.alert_name, 0)) for one in some]


@transaction.atomic
def create(*, by: User, **values: Any) -> AlertRule:
    """A rule, which judges from now on. Raises InvalidRequest at a field, Conflict."""
    policy.check(by, SCOPE)
    if AlertRule.objects.count() >= MOST_RULES:
        raise Conflict(_("There are %(n)d rules already: remove one first.") % {"n": MOST_RULES})
    made = AlertRule(changed_by=by.get_username(), **values)
    _check(made)
    made.save()
    record("alert_rule.create", made, by=by, after=_audited(made))
    live.publish("alert-rules", [made.pk])
    return made


@transaction.atomic
def change(rule_id: int, *, by: User, **values: Any) -> AlertRule:
    """Other values for some fields. Alerts that the rule as it is now would not raise are resolved."""
    policy.check(by, SCOPE, rule_id)
    changed = _held(rule_id)
    before = _audited(changed)
    old_name = AlertRule(pk=changed.pk, kind=changed.kind)
    for name, value in values.items():
        setattr(changed, name, value)
    _check(changed)
    after = _audited(changed)
    if after != before:
        if before["kind"] != after["kind"] or (changed.is_active and not before["is_active"]):
            changed.judged_from = timezone.now()
        changed.changed_by = by.get_username()
        changed.save()
        record("alert_rule.change", changed, by=by, before=before, after=after)
        live.publish("alert-rules", [changed.pk])
    if not changed.is_active:
        alerting.settle_all(old_name, reason=_("The rule is off."))
    elif before["kind"] != after["kind"]:
        alerting.settle_all(old_name, reason=_("The rule was changed."))
    return changed


@transaction.atomic
def remove(rule_id: int, *, by: User) -> None:
    """Its alerts are resolved."""
    policy.check(by, SCOPE, rule_id)
    gone = _held(rule_id)
    record("alert_rule.remove", gone, by=by, before=_audited(gone))
    alerting.settle_all(gone, reason=_("The rule was removed."))
    gone.delete()
    live.publish("alert-rules")


def _held(rule_id: int) -> AlertRule:
    rule(rule_id)  # raises NotFound
    return AlertRule.objects.select_for_update().get(pk=rule_id)


def _audited(one: AlertRule) -> dict[str, Any]:
    return {name: getattr(one, name) for name in FIELDS}


def _check(one: AlertRule) -> None:
    """Raises InvalidRequest at the field that does not go with the others."""
    if one.kind in verdicts.WITHOUT_LIMIT:
        one.limit_s = 0
    elif fault := limit_fault(one.kind, one.limit_s):
        raise refused("limit_s", fault)
    if not one.pattern.strip():
        raise refused("pattern", _("Write the name of a pipeline, or a pattern such as titanic_*."))
    same = AlertRule.objects.filter(kind=one.kind, pattern=one.pattern, limit_s=one.limit_s)
    if same.exclude(pk=one.pk).exists():
        raise refused("pattern", _("There is such a rule already."))


def limit_fault(kind: str, limit_s: int) -> str:
    """What is wrong with the limit of a kind that has one; empty where nothing is."""
    if not 1 <= limit_s <= LONGEST_LIMIT_S:
        return _("Say how long it may take: from a second to a year.")
    if kind == verdicts.NOT_STARTED and limit_s < LEAST_TO_START_S:
        return _("Give a run a minute at least to start.")
    return ""


def preview(one: AlertRule, *, now: datetime | None = None) -> Preview:
    """What the rule, saved or not, would have raised within the last 7 days; nothing is changed."""
    now = now or timezone.now()
    known = Pipeline.objects.filter(gone_at=None).values_list("pk", flat=True)
    dag_ids = [dag_id for dag_id in known if one.fits(dag_id)]
    lately = Q(created_at__gte=now - BACK - one.limit) | Q(ended_at__gte=now - BACK)
    runs = Run.objects.filter(lately, dag_id__in=dag_ids).order_by("-created_at")
    by_pipeline = watched_pipelines.pasts(Run.objects.filter(pk__in=runs.values("pk")[:MOST_RUNS]))
    _with_earlier(by_pipeline, dag_ids)
    raised = [
        Raised(dag_id, found.at, found)
        for dag_id, pasts in by_pipeline.items()
        for found in verdicts.earlier(one.kind, pasts, limit=one.limit, since=now - BACK, now=now)
    ]
    raised.sort(key=lambda found: found.at, reverse=True)
    return Preview(len(dag_ids), len(raised), raised[:MOST_SHOWN])


def _with_earlier(by_pipeline: dict[str, list[verdicts.Past]], dag_ids: list[str]) -> None:
    """With the last runs that ended before, so that what went on then counts as going on."""
    for watched in watched_pipelines.read(dag_ids):
        known = {run.pk for run in by_pipeline[watched.dag_id]}
        by_pipeline[watched.dag_id] += [run for run in watched.ended if run.pk not in known]
