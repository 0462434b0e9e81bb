"""Alert rules at work: every pipeline that a rule fits is judged from the mirror, by the worker's clock.

A finding raises the alert of its rule and pipeline once: what the alert was found at already, resolved or
not, is not found again, so a restart or somebody's *Resolve* brings none back.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Final

from celery import shared_task
from django.utils import timezone
from django.utils.translation import gettext as _

from core.alerts import actions as alerts
from core.alerts.facts import PIPELINE_RULES
from core.alerts.models import Alert
from core.alerts.states import UNRESOLVED
from pipelines import alert_words, loops, run_list, verdicts, watched_pipelines
from pipelines.alert_rule_models import AlertRule
from pipelines.models import Bookmark, Pipeline, Run
from pipelines.states import RunState
from pipelines.verdicts import Finding, Watched
from pipelines.watched_pipelines import Mirror

LOOKED: Final = "alert rules"  # the bookmark of the last look at a mirror that was current
LONGEST_HELD: Final = timedelta(days=1)  # that bookmark, by what was set aside


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
    watched = {one.dag_id: one for one in watched_pipelines.read(list({dag_id for _rule, dag_id in fitting}))}
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
            found.append(Orphan(name, dag_id, alert_words.gone(dag_id)))
    return found


def _unresolved() -> dict[tuple[str, str], Alert]:
    """Alerts of rules and pipelines, whatever became of the rules."""
    found = Alert.objects.filter(rule__startswith=PIPELINE_RULES, state__in=UNRESOLVED)
    return {(alert.rule, alert.subject): alert for alert in found}


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
            alerts.settle(
                rule.alert_name, watched.dag_id, reason=alert_words.settled(rule, watched, alert, now)
            )
        return
    alert = alert or _latest(rule, watched)
    is_news = alert is None or alert.last_found_at < _told_from(found, watched, now)
    is_told = mirror.is_current or (mirror.is_cut_off and rule.kind == verdicts.NO_SUCCESS)
    if is_news and is_told:
        alert_words.tell(rule, watched, found)


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
        alert_words.tell(rule, watched, one)
        told_until = end


def _told_until(alert: Alert) -> datetime:
    """Up to which end, by Airflow's clock and in whole seconds, failures were told by this alert."""
    ended_at = alert_words.said_at(alert, "ended")
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
    named = Run.objects.filter(dag_id=watched.dag_id, dag_run_id=str(alert_words.said(alert, "run") or ""))
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


def _latest(rule: AlertRule, watched: Watched) -> Alert | None:
    """One that is resolved: asked for only where something is found."""
    found = Alert.objects.filter(rule=rule.alert_name, subject=watched.dag_id)
    return found.order_by("-pk").first()


def settle_all(rule: AlertRule, *, reason: str) -> None:
    """Resolve every alert of the rule."""
    for alert in Alert.objects.filter(rule=rule.alert_name, state__in=UNRESOLVED):
        alerts.settle(rule.alert_name, alert.subject, reason=reason)
