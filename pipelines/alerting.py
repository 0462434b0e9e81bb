"""Alert rules at work: every pipeline that a rule fits is judged from the mirror, by the worker's clock.

A finding raises the alert of its rule and pipeline once: what the alert was found at already, resolved or
not, is not found again, so a restart or somebody's *Resolve* brings none back.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from celery import shared_task
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.alerts.facts import PIPELINE_RULES
from core.alerts.models import Alert
from core.alerts.states import UNRESOLVED
from core.lib.models import SyncState
from core.lib.templatetags import numbers
from pipelines import loops, run_list, verdicts
from pipelines.alert_rule_models import AlertRule
from pipelines.models import Bookmark, Pipeline, Run
from pipelines.states import ENDED, TIMED, RunState
from pipelines.verdicts import Finding, Past, Watched

N_ENDED: Final = 10  # of each pipeline and state: several may end between two looks, or overlap
LOOKED: Final = "alert rules"  # the bookmark of the last look at a mirror that was current
LONGEST_HELD: Final = timedelta(days=1)  # that bookmark, by what was set aside
POLLS: Final = ("pipelines.sync.sync_pipelines", "pipelines.sync.sync_runs")
CURRENT_WITHIN: Final = timedelta(minutes=1)
FAILED_WITHIN: Final = timedelta(minutes=2)  # polls that fail are tried again after half a minute at most
COLUMNS: Final = (
    *("pk", "dag_run_id", "state", "run_type"),
    *("created_at", "started_at", "ended_at", "run_after", "queued_at"),
)


class Judged:
    """Its fault is its own: it has a `key`, and the `dag_id` that it is about."""


@dataclass(frozen=True)
class Pair(Judged):
    """One rule at one pipeline, with their alert that is not resolved."""

    rule: AlertRule
    watched: Watched
    alert: Alert | None

    @property
    def key(self) -> str:
        return f"{self.rule.pk} {self.watched.dag_id}"

    @property
    def dag_id(self) -> str:
        """Of the pipeline."""
        return self.watched.dag_id


@dataclass(frozen=True)
class Orphan(Judged):
    """An alert whose rule watches the pipeline no more. reason: why, in words."""

    alert_name: str
    dag_id: str
    reason: str

    @property
    def key(self) -> str:
        return f"{self.alert_name} {self.dag_id}"


@shared_task(expires=15)
def look() -> None:
    """Judge every pair of rule and pipeline; one that breaks is set aside, and the others go on."""
    rules = list(AlertRule.objects.filter(is_active=True))
    unresolved = _unresolved()
    known = dict(Pipeline.objects.values_list("pk", "gone_at"))
    fitting = [
        (rule, dag_id)
        for dag_id, gone_at in known.items()
        for rule in rules
        if rule.fits(dag_id) and (gone_at is None or _outlasts(rule, dag_id, unresolved))
    ]
    watched = {one.dag_id: one for one in read(list({dag_id for _rule, dag_id in fitting}))}
    pairs = [
        Pair(rule, watched[dag_id], unresolved.get((rule.alert_name, dag_id)))
        for rule, dag_id in fitting
        if dag_id in watched
    ]
    seen = {(rule.alert_name, dag_id) for rule, dag_id in fitting}
    judged: list[Judged] = [*pairs, *_orphans(unresolved.keys() - seen, rules, known)]
    mirror, now = Mirror.read(), timezone.now()
    last_look = _last_look(now)
    # What ended since then may not have been judged: Airflow's clock may be behind, and the mirror is.
    looked_at = last_look - verdicts.SKEW if last_look else now

    def act(one: Judged) -> None:
        if isinstance(one, Pair):
            _judge(one, mirror, looked_at=looked_at, now=now)
        elif isinstance(one, Orphan):
            alerts.settle(one.alert_name, one.dag_id, reason=one.reason)

    key, about = attrgetter("key"), attrgetter("dag_id")
    fit = loops.ALERT_RULES.each(judged, act, key=key, about=about, is_all=True)
    if mirror.is_current:
        # What was set aside may have failures to tell yet; the others tell none twice.
        held_at = last_look if len(fit) < len(judged) else None
        _note_look(max(held_at, now - LONGEST_HELD) if held_at else now)


def _last_look(now: datetime) -> datetime | None:
    bookmark = Bookmark.objects.filter(name=LOOKED).first()
    return min(bookmark.read_until, now) if bookmark else None


def _note_look(at: datetime) -> None:
    row = Bookmark(name=LOOKED, read_until=at)
    Bookmark.objects.bulk_create(
        [row], update_conflicts=True, unique_fields=["name"], update_fields=["read_until"]
    )


def _outlasts(rule: AlertRule, dag_id: str, unresolved: Collection[tuple[str, str]]) -> bool:
    """Whether the rule watches on when Airflow has the pipeline no more.

    Nothing succeeds or begins then, which is what somebody who named it wants to know, and what keeps an
    alert from being over. Of a pattern any pipeline may leave.
    """
    is_meant = rule.pattern == dag_id or (rule.alert_name, dag_id) in unresolved
    return rule.kind in verdicts.OF_THE_SWITCHED_ON and is_meant


def _orphans(
    alerts_of: Iterable[tuple[str, str]],
    rules: Sequence[AlertRule],
    known: Mapping[str, datetime | None],
) -> list[Orphan]:
    """known: when each pipeline went, None for one that is there. What went a moment ago may come back."""
    by_name, lately = {rule.alert_name: rule for rule in rules}, timezone.now() - verdicts.BRIEFLY
    found = []
    for name, dag_id in sorted(alerts_of):
        rule, gone_at = by_name.get(name), known.get(dag_id)
        if rule is None or not rule.fits(dag_id):
            found.append(Orphan(name, dag_id, _("No rule watches it any more.")))
        elif gone_at is None or gone_at <= lately:
            found.append(Orphan(name, dag_id, _gone(dag_id)))
    return found


def _gone(dag_id: str) -> str:
    message = _("Airflow no longer has the pipeline “%(dag_id)s”: its file was removed or renamed.")
    return message % {"dag_id": dag_id}


@dataclass(frozen=True)
class Mirror:
    """is_current: it knows what Airflow does now. is_cut_off: it does not, as Airflow was asked in vain.

    Neither while nobody asks: the console itself was away then, and that says nothing about pipelines.
    """

    is_current: bool
    is_cut_off: bool

    @classmethod
    def read(cls) -> "Mirror":
        """As of now."""
        states, now = SyncState.objects.in_bulk(POLLS), timezone.now()
        succeeded = [
            state
            for state in states.values()
            if state.is_current and state.last_success_at and state.last_success_at > now - CURRENT_WITHIN
        ]
        failed = [
            state
            for state in states.values()
            if state.last_error and state.last_error_at and state.last_error_at > now - FAILED_WITHIN
        ]
        return cls(len(succeeded) == len(POLLS), bool(failed))


def _unresolved() -> dict[tuple[str, str], Alert]:
    """Alerts of rules and pipelines, whatever became of the rules."""
    found = Alert.objects.filter(rule__startswith=PIPELINE_RULES, state__in=UNRESOLVED)
    return {(alert.rule, alert.subject): alert for alert in found}


def read(dag_ids: Sequence[str]) -> list[Watched]:
    """These pipelines as they stand in the mirror: four queries, however many there are."""
    runs = Run.objects.filter(dag_id=OuterRef("pk"))
    until = timezone.now() + verdicts.SKEW  # one from the time to come must not hide real ones
    by_end = runs.filter(ended_at__lte=until).order_by("-ended_at")
    # Nobody can make those good any more that Airflow does not have.
    failed = by_end.filter(state=RunState.FAILED, gone_at=None)
    succeeded, cancelled = (by_end.filter(state=state) for state in (RunState.SUCCESS, RunState.CANCELLED))
    # Of some no end is known, or none that can be.
    made = runs.filter(state__in=TIMED).exclude(state=RunState.FAILED, gone_at__isnull=False)
    rows = list(
        Pipeline.objects.filter(pk__in=dag_ids)
        .only("dag_id", "is_paused", "wanted_is_paused", "awake_at", "next_run_at", "gone_at")
        .annotate(
            # Any number of one state may have ended after those of another.
            failed=ArraySubquery(failed.values("pk")[:N_ENDED]),
            succeeded=ArraySubquery(succeeded.values("pk")[:N_ENDED]),
            cancelled=ArraySubquery(cancelled.values("pk")[:N_ENDED]),
            made=ArraySubquery(made.order_by("-created_at", "-pk").values("pk")[:N_ENDED]),
            last_success_at=Subquery(succeeded.values("ended_at")[:1]),
        )
    )
    newest = {pk for row in rows for pk in (*row.failed, *row.succeeded, *row.cancelled, *row.made)}
    ended = pasts(Run.objects.filter(pk__in=newest))
    failures = [run.pk for runs in ended.values() for run in runs if run.state == RunState.FAILED]
    good = Run.objects.filter(run_list.made_good(), pk__in=failures).order_by()
    made_good = frozenset(good.values_list("pk", flat=True))
    under_way = pasts(Run.objects.filter(dag_id__in=dag_ids).exclude(state__in=ENDED))
    return [
        Watched(
            row.dag_id,
            is_paused=row.shows_paused or row.is_paused,
            awake_at=row.awake_at,
            next_run_at=row.next_run_at,
            last_success_at=row.last_success_at,
            ended=ended[row.dag_id],
            under_way=under_way[row.dag_id],
            gone_at=row.gone_at,
            made_good=made_good,
        )
        for row in rows
    ]


def pasts(runs: QuerySet[Run]) -> dict[str, list[Past]]:
    """The runs of each pipeline, as far as rules look at them."""
    found: dict[str, list[Past]] = defaultdict(list)
    for dag_id, *values in runs.order_by().values_list("dag_id", *COLUMNS):
        found[dag_id].append(Past(*values))
    return found


def _judge(pair: Pair, mirror: Mirror, *, looked_at: datetime, now: datetime) -> None:
    rule, watched, alert = pair.rule, pair.watched, pair.alert
    found = verdicts.find(rule.kind, watched, limit=rule.limit, since=rule.judged_from, now=now)
    if rule.kind == verdicts.FAILED:
        since = max(rule.judged_from, looked_at)
        failed = verdicts.failures(watched, since=since, now=now) or ([found] if found else [])
        _judge_failures(pair, failed, mirror, now)
        return
    if found is None:
        # What a mirror says that lags behind is no news.
        is_known = mirror.is_current or watched.is_paused
        if alert is not None and is_known:
            alerts.settle(rule.alert_name, watched.dag_id, reason=_settled(pair, alert, now))
        return
    alert = alert or _latest(rule, watched)
    is_news = alert is None or alert.last_found_at < _told_from(found, watched, now)
    is_told = mirror.is_current or (mirror.is_cut_off and rule.kind == verdicts.NO_SUCCESS)
    if is_news and is_told:
        _raise(rule, watched, found)


def _told_from(found: Finding, watched: Watched, now: datetime) -> datetime:
    """That the pipeline is gone since is to be told too."""
    if watched.gone_at is None or not watched.is_gone(now):
        return found.at
    return max(found.at, watched.gone_at + verdicts.BRIEFLY)


def _judge_failures(pair: Pair, failed: Sequence[Finding], mirror: Mirror, now: datetime) -> None:
    """Each is told, also what was made good before anybody looked.

    failed: by their end. After a success they open an alert anew, whether or not what failed before it is
    made good: a date that nobody runs again must not keep the failures of later ones quiet.
    """
    rule, watched, alert = pair.rule, pair.watched, pair.alert
    latest = alert or (_latest(rule, watched) if failed else None)
    told_until = _told_until(latest) if latest else None
    ends = [(one, verdicts.told_end(one.run, now)) for one in failed]
    news = [(one, end) for one, end in ends if told_until is None or end.replace(microsecond=0) > told_until]
    if alert is not None and (mirror.is_current or watched.is_paused):
        reason = _made_good(pair, alert, now)
        if reason:
            alerts.settle(rule.alert_name, watched.dag_id, reason=reason)
    if not mirror.is_current:
        return
    for one, end in news:
        if told_until and verdicts.has_succeeded(watched, since=told_until, until=end, now=now):
            reason = _("A run succeeded, then another failed: that has an alert of its own.")
            alerts.settle(rule.alert_name, watched.dag_id, reason=reason)
        _raise(rule, watched, one)
        told_until = end


def _told_until(alert: Alert) -> datetime:
    """Up to which end, by Airflow's clock and in whole seconds, failures were told by this alert."""
    ended_at = _said_at(alert, "ended")
    if ended_at is None or ended_at > alert.last_found_at + verdicts.SKEW:  # one that cannot be
        return alert.last_found_at
    return ended_at


def _made_good(pair: Pair, alert: Alert, now: datetime) -> str:
    """Why nothing is left to do about what the alert was found at, in words; empty while something is.

    That a run failed no longer is not enough: one that was cleared has not succeeded yet.
    """
    watched, failed_at = pair.watched, _told_until(alert)
    first, last = alert.first_found_at - verdicts.SKEW, failed_at + timedelta(seconds=1)
    if verdicts.has_unmended(watched, since=min(first, failed_at), until=last, now=now):
        return ""
    named = Run.objects.filter(dag_id=watched.dag_id, dag_run_id=str(_said(alert, "run") or ""))
    run = named.only("state", "gone_at").first()
    if run is None:  # removed here: nobody can say what it was for
        succeeded_at = watched.last_success_at
        is_over = succeeded_at is not None and succeeded_at > failed_at
    elif run.state == RunState.SUCCESS:
        return _("The run succeeded in the end.")
    elif not run.is_there:
        return _("The run was deleted in Airflow.")
    else:
        is_over = named.filter(run_list.made_good(failed_at)).exists()
    return _("A later run succeeded.") if is_over else ""


def _said(alert: Alert, name: str) -> Any:
    return next((fact.get("value") for fact in alert.facts if fact["name"] == name), None)


def _said_at(alert: Alert, name: str) -> datetime | None:
    said = _said(alert, name)
    return datetime.fromisoformat(str(said)) if said else None


def _latest(rule: AlertRule, watched: Watched) -> Alert | None:
    """One that is resolved: asked for only where something is found."""
    found = Alert.objects.filter(rule=rule.alert_name, subject=watched.dag_id)
    return found.order_by("-pk").first()


def _settled(pair: Pair, alert: Alert, now: datetime) -> str:
    rule, watched = pair.rule, pair.watched
    if watched.is_paused and rule.kind in verdicts.OF_THE_SWITCHED_ON:
        return _("The pipeline is paused.")
    last, expected_at = watched.last_success_at, _said_at(alert, "expected") or alert.first_found_at
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


def _raise(rule: AlertRule, watched: Watched, found: Finding) -> None:
    run = found.run
    detail = _("Found by the rule for %(pattern)s.") % {"pattern": rule.pattern}
    if watched.is_gone(timezone.now()):
        detail = f"{_gone(watched.dag_id)} {detail}"
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
        detail=detail,
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


def settle_all(rule: AlertRule, *, reason: str) -> None:
    """Resolve every alert of the rule."""
    for alert in Alert.objects.filter(rule=rule.alert_name, state__in=UNRESOLVED):
        alerts.settle(rule.alert_name, alert.subject, reason=reason)
