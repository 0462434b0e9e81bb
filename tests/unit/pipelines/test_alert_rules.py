"""Alert rules at work on the mirror, and the pages and REST on which they are made."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from core.access.policy import Denied
from core.alerts import actions as alerts
from core.alerts.models import Alert
from core.audit.models import AuditEntry
from core.lib.errors import InvalidRequest
from core.lib.models import SetAside, SyncState
from pipelines import alert_rules, alerting, mirror, verdicts, watched_pipelines
from pipelines.dag_answers import Dag
from pipelines.models import AlertRule, Bookmark, Pipeline, Run
from tests.people import make_admin
from tests.pipeline_rows import make_pipeline, make_run

pytestmark = pytest.mark.django_db
REST = "/api/v1/alert-rules"
LIST = "/alert-rules"
FORM = {"kind": "slow", "amount": "10", "unit": "60", "pattern": "etl*", "severity": "critical"}


def ago(**by: float):
    return timezone.now() - timedelta(**by)


@pytest.fixture(autouse=True)
def _mirror_is_current(db):
    for name in watched_pipelines.POLLS:
        SyncState.succeeded(name, "airflow")


@pytest.fixture
def root(db):
    return make_admin()


def rule(kind: str = "failed", pattern: str = "etl*", limit_s: int = 0, **values) -> AlertRule:
    return AlertRule.objects.create(
        kind=kind, pattern=pattern, limit_s=limit_s, **{"judged_from": ago(days=1), **values}
    )


def ended(state: str, minutes: float, dag_id: str = "etl", *, took: float = 1) -> Run:
    """A run that ended so many minutes ago."""
    times = {"started_at": ago(minutes=minutes + took), "ended_at": ago(minutes=minutes)}
    return make_run(dag_id, state, created_at=times["started_at"], **times)


def in_plain_spaces(alert: Alert) -> str:
    """Its title; a number and its unit are kept together."""
    return alert.title.replace("\N{NO-BREAK SPACE}", " ")


def pass_by(seconds: float) -> None:
    """So long ago is the last finding then."""
    at = ago(seconds=seconds)
    Alert.objects.update(last_found_at=at, first_found_at=at)


def states() -> list[tuple[str, str]]:
    return list(Alert.objects.order_by("pk").values_list("subject", "state"))


# --- each kind, from raised to settled


def test_a_failure_is_raised_once_and_settled_by_the_next_success():
    make_pipeline("etl")
    one = rule(severity="critical")
    failed = ended("failed", 5)
    for _round in range(3):
        alerting.look()
    alert = Alert.objects.get()
    assert (alert.rule, alert.subject, alert.severity) == (f"pipeline-failed:{one.pk}", "etl", "critical")
    assert (alert.title, alert.n_findings) == ("etl failed", 1)
    assert alert.url == f"/runs/{failed.pk}"
    assert {"name": "run", "value": failed.dag_run_id} in alert.facts
    ended("success", 1)
    alerting.look()
    assert states() == [("etl", "resolved")]
    assert alert.steps.last().reason == "A later run succeeded."


@pytest.mark.parametrize("ends_as", ["success", "failed"])
def test_a_failure_that_is_cleared_is_settled_by_its_success_alone(ends_as):
    make_pipeline("etl")
    rule()
    ended("success", 60)
    failed = Run.objects.filter(pk=ended("failed", 5).pk)
    alerting.look()
    failed.update(state="queued", started_at=None, ended_at=None, queued_at=timezone.now())
    alerting.look()
    failed.update(state="running", started_at=timezone.now())
    alerting.look()
    assert states() == [("etl", "open")]
    failed.update(state=ends_as, ended_at=timezone.now())
    alerting.look()
    assert states() == [("etl", "resolved" if ends_as == "success" else "open")]


def test_a_success_that_came_with_a_marking_settles_too():
    """It keeps the end of before."""
    make_pipeline("etl")
    rule()
    failed = ended("failed", 5)
    alerting.look()
    Run.objects.filter(pk=failed.pk).update(state="success")
    alerting.look()
    assert states() == [("etl", "resolved")]


def test_cancelled_runs_hide_no_failure():
    make_pipeline("etl")
    rule()
    ended("failed", 60)
    for minutes in range(watched_pipelines.N_ENDED + 1):
        ended("cancelled", minutes)
    for _number in range(watched_pipelines.N_ENDED + 1):
        make_run("etl", "refused", started_at=None)
    alerting.look()
    assert states() == [("etl", "open")]


def test_a_success_from_the_time_to_come_hides_no_real_one():
    make_pipeline("etl", awake_at=None)
    rule("no-success", limit_s=3600)
    ended("success", 10)
    ended("success", -60 * 24, took=0)
    alerting.look()
    assert states() == []


def test_a_run_that_is_cleared_is_neither_slow_nor_late():
    make_pipeline("etl", awake_at=None)
    rule("slow", limit_s=600)
    rule("not-started", limit_s=600)
    queued = {"run_type": "scheduled", "created_at": ago(days=1), "queued_at": ago(minutes=1)}
    make_run("etl", "queued", started_at=ago(days=1), **queued)
    make_run("etl", "queued", started_at=None, **queued)
    alerting.look()
    assert states() == []


def test_another_failure_is_counted_and_one_after_a_success_opens_another():
    make_pipeline("etl")
    rule()
    ended("failed", 30)
    alerting.look()
    Alert.objects.update(last_found_at=ago(minutes=20), first_found_at=ago(minutes=30))
    ended("failed", 10)
    alerting.look()
    assert Alert.objects.get().n_findings == 2
    ended("success", 5)
    alerting.look()
    Alert.objects.update(last_found_at=ago(minutes=4))
    ended("failed", 2)
    alerting.look()
    assert states() == [("etl", "resolved"), ("etl", "open")]


def test_what_somebody_resolved_does_not_come_back_for_the_same_run(root):
    make_pipeline("etl")
    rule()
    ended("failed", 5)
    alerting.look()
    alerts.resolve(Alert.objects.get().pk, by=root, reason="Known.")
    Alert.objects.update(state_since=ago(hours=5))
    alerting.look()
    assert states() == [("etl", "resolved")]


def test_a_run_that_takes_too_long_while_it_runs():
    make_pipeline("etl")
    rule("slow", limit_s=600)
    running = make_run("etl", "running", started_at=ago(minutes=11))
    alerting.look()
    alert = Alert.objects.get()
    assert in_plain_spaces(alert) == "etl takes longer than 10 m 00 s"
    assert alert.facts[-1] | {"value": 0} == {"name": "time", "value": 0, "unit": "s", "threshold": 600}
    Run.objects.filter(pk=running.pk).update(state="success", ended_at=timezone.now())
    alerting.look()
    assert states() == [("etl", "open")]  # it took longer
    ended("success", 0, took=2)
    alerting.look()
    assert states() == [("etl", "resolved")]


def test_no_success_for_long_until_there_is_one():
    make_pipeline("etl", awake_at=None)
    rule("no-success", limit_s=3600)
    ended("success", 90)
    ended("failed", 10)
    alerting.look()
    assert in_plain_spaces(Alert.objects.get()) == "etl: no success for 1 h 00 m"
    ended("success", 1)
    alerting.look()
    assert states() == [("etl", "resolved")]


def test_a_run_that_did_not_start_until_it_does():
    make_pipeline("etl", awake_at=None, next_run_at=ago(minutes=20))
    rule("not-started", limit_s=600)
    alerting.look()
    assert in_plain_spaces(Alert.objects.get()) == "etl did not start within 10 m 00 s"
    Pipeline.objects.update(next_run_at=timezone.now() + timedelta(hours=1))
    alerting.look()
    assert states() == [("etl", "resolved")]


@pytest.mark.parametrize("kind", ["no-success", "not-started"])
def test_pausing_settles_and_a_paused_one_is_quiet(kind):
    make_pipeline("etl", awake_at=None, next_run_at=ago(hours=9))
    rule(kind, limit_s=60)
    alerting.look()
    assert states() == [("etl", "open")]
    Pipeline.objects.update(is_paused=True)
    alerting.look()
    assert states() == [("etl", "resolved")]
    assert Alert.objects.get().steps.last().reason == "The pipeline is paused."


def test_a_switch_that_somebody_moved_counts_at_once():
    make_pipeline("etl", awake_at=None, wanted_is_paused=True, next_attempt_at=timezone.now())
    rule("no-success", limit_s=60)
    alerting.look()
    assert states() == []


# --- which failures: by when they ended, whatever else ended since


def test_a_run_that_ends_long_after_later_ones_is_found():
    """It hung until its time was over, or an old one was run again."""
    make_pipeline("etl")
    rule()
    for minutes in range(2, 30):
        ended("success", minutes)
    hung = ended("failed", 1, took=180)
    alerting.look()
    assert states() == [("etl", "open")]
    assert Alert.objects.get().url == f"/runs/{hung.pk}"


def test_a_slow_run_that_was_made_before_others_is_found():
    make_pipeline("etl")
    rule("slow", limit_s=3600)
    for minutes in range(2, 30):
        ended("success", minutes)
    ended("success", 1, took=180)
    alerting.look()
    assert states() == [("etl", "open")]


def test_a_success_that_was_made_before_others_is_one():
    make_pipeline("etl", awake_at=None)
    rule("no-success", limit_s=3600)
    ended("success", 10, took=300)
    ended("success", 100)
    for minutes in range(12, 30):
        ended("failed", minutes)
    alerting.look()
    assert states() == []


def test_a_failure_and_a_success_within_one_look_are_told_of():
    make_pipeline("etl")
    rule()
    ended("success", 60)
    alerting.look()
    failed = ended("failed", 0.2)
    ended("success", 0.1)
    alerting.look()
    assert states() == [("etl", "open")]
    assert Alert.objects.get().url == f"/runs/{failed.pk}"
    for _round in range(3):
        alerting.look()
    assert [(alert.state, alert.n_findings) for alert in Alert.objects.all()] == [("resolved", 1)]
    assert last_words() == "A later run succeeded."


def test_what_was_made_good_while_airflow_was_away_is_told_of():
    make_pipeline("etl")
    rule()
    alerting.look()
    SyncState.failed(watched_pipelines.POLLS[1], "airflow", "away")
    Bookmark.objects.update(read_until=ago(hours=1))
    ended("failed", 40)
    ended("success", 30)
    alerting.look()
    assert states() == []
    SyncState.succeeded(watched_pipelines.POLLS[1], "airflow")
    alerting.look()
    assert states() == [("etl", "open")]


def test_what_was_made_good_before_anybody_looked_is_history():
    make_pipeline("etl")
    rule()
    ended("failed", 40)
    ended("success", 30)
    for _round in range(2):
        alerting.look()
    assert states() == []


def test_several_failures_within_one_look_are_counted():
    make_pipeline("etl")
    rule()
    alerting.look()
    for seconds in (12, 9, 6):
        ended("failed", seconds / 60, took=0.01)
    for _round in range(2):
        alerting.look()
    assert Alert.objects.get().n_findings == 3


def of_date(state: str, minutes: float, **more) -> Run:
    return make_ended(state, minutes, run_type="scheduled", logical_date=ago(minutes=minutes), **more)


def make_ended(state: str, minutes: float, **more) -> Run:
    run = ended(state, minutes)
    Run.objects.filter(pk=run.pk).update(**more)
    return run


def test_a_failure_of_a_date_is_settled_by_that_date_alone():
    make_pipeline("etl")
    rule()
    failed = of_date("failed", 5)
    alerting.look()
    of_date("success", 2)
    ended("success", 1)
    alerting.look()
    assert states() == [("etl", "open")]
    Run.objects.filter(pk=failed.pk).update(state="running", ended_at=None)
    alerting.look()
    assert states() == [("etl", "open")]
    Run.objects.filter(pk=failed.pk).update(state="success", ended_at=timezone.now())
    alerting.look()
    assert states() == [("etl", "resolved")]
    assert last_words() == "The run succeeded in the end."


def test_a_failure_of_a_partition_is_settled_by_that_partition_alone():
    make_pipeline("etl")
    rule()
    failed = make_ended("failed", 5, partition_key="us")
    alerting.look()
    make_ended("success", 4, partition_key="eu")
    alerting.look()
    assert states() == [("etl", "open")]
    Run.objects.filter(pk=failed.pk).update(state="queued", started_at=None, ended_at=None)
    make_ended("success", 3, partition_key="us")
    alerting.look()
    assert states() == [("etl", "resolved")]


def test_an_alert_stands_until_each_of_its_failures_is_made_good():
    make_pipeline("etl")
    rule()
    alerting.look()
    first, last = of_date("failed", 0.2), of_date("failed", 0.1)
    alerting.look()
    Run.objects.filter(pk=last.pk).update(state="success", ended_at=timezone.now())
    alerting.look()
    assert states() == [("etl", "open")]
    Run.objects.filter(pk=first.pk).update(state="success", ended_at=timezone.now())
    alerting.look()
    assert states() == [("etl", "resolved")]


def test_a_failure_after_a_success_opens_another_alert_though_a_date_is_not_made_good():
    """Else nobody is told of the pipeline's failures while one old date stands."""
    make_pipeline("etl")
    rule()
    of_date("failed", 30)
    alerting.look()
    Alert.objects.update(last_found_at=ago(minutes=29), first_found_at=ago(minutes=30))
    of_date("success", 20)
    alerting.look()
    of_date("failed", 1)
    alerting.look()
    assert states() == [("etl", "resolved"), ("etl", "open")]
    words = Alert.objects.earliest("pk").steps.last().reason
    assert words == "A run succeeded, then another failed: that has an alert of its own."
    of_date("failed", 0.5)
    alerting.look()
    assert states() == [("etl", "resolved"), ("etl", "open")]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_success_between_failures_within_one_look_parts_their_alerts(is_open):
    """An alert of before takes what failed before the success, and no more."""
    make_pipeline("etl")
    rule()
    if is_open:
        of_date("failed", 3)
    alerting.look()
    pass_by(170)
    for minutes, state in ((2, "failed"), (1.5, "success"), (1, "failed"), (0.5, "failed")):
        of_date(state, minutes)
    for _round in range(2):
        alerting.look()
    assert [(alert.state, alert.n_findings) for alert in Alert.objects.order_by("pk")] == [
        ("resolved", 1 + is_open),
        ("open", 2),
    ]
    words = Alert.objects.earliest("pk").steps.last().reason
    assert words == "A run succeeded, then another failed: that has an alert of its own."


def test_what_somebody_resolved_of_a_date_stays_resolved_whatever_succeeds(root):
    make_pipeline("etl")
    rule()
    of_date("failed", 5)
    alerting.look()
    alerts.resolve(Alert.objects.get().pk, by=root, reason="Not needed.")
    of_date("success", 1)
    for _round in range(2):
        alerting.look()
    assert states() == [("etl", "resolved")]


# --- Airflow's clock, and ours


def test_by_a_clock_that_is_ahead_a_failure_is_found_once(root):
    make_pipeline("etl")
    rule()
    ended("failed", -1)
    for _round in range(3):
        alerting.look()
        pass_by(15)
    assert Alert.objects.get().n_findings == 1
    alerts.resolve(Alert.objects.get().pk, by=root, reason="Known.")
    alerting.look()
    assert states() == [("etl", "resolved")]


def test_by_a_clock_that_is_ahead_runs_are_taken_in_the_order_of_their_ends():
    make_pipeline("etl")
    rule()
    of_date("failed", -1)
    alerting.look()
    pass_by(15)
    of_date("success", -1.3)
    of_date("failed", -1.2)
    alerting.look()
    assert [(alert.state, alert.n_findings) for alert in Alert.objects.all()] == [("open", 2)]
    pass_by(15)
    of_date("failed", -1.4)
    alerting.look()
    assert [(alert.state, alert.n_findings) for alert in Alert.objects.order_by("pk")] == [
        ("resolved", 2),
        ("open", 1),
    ]


def test_a_failure_whose_end_cannot_be_hides_none_that_comes_after_it():
    make_pipeline("etl")
    rule()
    far = timezone.now() + timedelta(days=9000)
    make_run("etl", "failed", created_at=ago(minutes=5), ended_at=far)
    for _round in range(2):
        alerting.look()
    pass_by(60)
    ended("failed", 0.5)
    alerting.look()
    assert Alert.objects.get().n_findings == 2


# --- which pipelines, and what goes wrong


def test_globs_choose_pipelines_and_each_has_its_own_alert():
    for name in ("etl_a", "etl_b", "other", "ETL_c"):
        make_pipeline(name)
        ended("failed", 5, name)
    make_pipeline("etl_gone", gone_at=timezone.now())
    ended("failed", 5, "etl_gone")
    rule(pattern="etl_*")
    rule(pattern="etl_a")
    rule(pattern="other", is_active=False)
    alerting.look()
    assert sorted(subject for subject, _state in states()) == ["etl_a", "etl_a", "etl_b"]


def test_one_pair_that_breaks_stops_no_other(monkeypatch):
    for name in ("a", "odd", "z"):
        make_pipeline(name)
        ended("failed", 5, name)
    rule(pattern="*")
    find = verdicts.find

    def broken(kind, watched, **more):
        if watched.dag_id == "odd":
            raise ZeroDivisionError("no")
        return find(kind, watched, **more)

    monkeypatch.setattr(verdicts, "find", broken)
    alerting.look()
    assert states() == [("a", "open"), ("z", "open")]
    row = SetAside.objects.get()
    assert (row.loop, row.about, row.reason) == ("pipelines.alert-rules", "odd", "ZeroDivisionError: no")
    monkeypatch.setattr(verdicts, "find", find)
    SetAside.objects.update(next_try_at=ago(minutes=1))
    alerting.look()
    assert ("odd", "open") in states()
    assert not SetAside.objects.exists()


@pytest.mark.parametrize(("hours", "is_told"), [(6, True), (30, False)])
def test_what_was_made_good_while_a_pair_was_broken_is_told_when_it_fits(monkeypatch, hours, is_told):
    """For a day: after that what succeeded since is what counts."""
    for name in ("a", "odd"):
        make_pipeline(name)
    rule(pattern="*", judged_from=ago(days=9))
    alerting.look()
    Bookmark.objects.update(read_until=ago(hours=hours))
    for name in ("a", "odd"):
        ended("failed", 60 * hours - 30, name)
        ended("success", 60 * hours - 40, name)
    failures = verdicts.failures

    def broken(watched, **more):
        if watched.dag_id == "odd":
            raise ZeroDivisionError("no")
        return failures(watched, **more)

    monkeypatch.setattr(verdicts, "failures", broken)
    for _round in range(3):
        alerting.look()
    assert states() == [("a", "resolved")]
    monkeypatch.setattr(verdicts, "failures", failures)
    SetAside.objects.update(next_try_at=ago(minutes=1))
    for _round in range(2):
        alerting.look()
    assert states() == [("a", "resolved"), *([("odd", "resolved")] if is_told else [])]
    assert Bookmark.objects.get().read_until > ago(minutes=1)


def test_odd_rows_are_judged_as_far_as_they_go():
    make_pipeline("etl", awake_at=None, next_run_at=None)
    for kind, limit_s in (("failed", 0), ("slow", 60), ("no-success", 60), ("not-started", 60)):
        rule(kind, limit_s=limit_s)
    far = timezone.now() + timedelta(days=9000)
    make_run("etl", "failed", created_at=far, started_at=far, ended_at=far)
    make_run("etl", "hibernating", started_at=None)
    make_run("etl", "success", started_at=None, ended_at=None)
    make_run("etl", "queued", started_at=None, run_type="scheduled", created_at=far)
    alerting.look()
    assert [alert.rule.partition(":")[0] for alert in Alert.objects.all()] == ["pipeline-no-success"]
    assert not SetAside.objects.exists()


@pytest.mark.parametrize("how", ["failing", "silent", "never", "failing long ago"])
def test_what_a_mirror_says_that_lags_behind_is_no_news(how):
    make_pipeline("etl", awake_at=None, next_run_at=ago(hours=5))
    for kind, limit_s in (("failed", 0), ("slow", 60), ("no-success", 60), ("not-started", 60)):
        rule(kind, limit_s=limit_s)
    make_run("etl", "running", started_at=ago(hours=5))
    ended("failed", 5)
    state = SyncState.objects.filter(name=watched_pipelines.POLLS[0])
    if how.startswith("failing"):
        SyncState.failed(watched_pipelines.POLLS[0], "airflow", "away")
        if how == "failing long ago":
            state.update(last_error_at=ago(minutes=3))
    elif how == "silent":
        state.update(last_success_at=ago(minutes=2))
    else:
        state.delete()
    alerting.look()
    # Where nobody asked the console itself was away.
    found = ["pipeline-no-success"] if how == "failing" else []
    assert [alert.rule.partition(":")[0] for alert in Alert.objects.all()] == found
    SyncState.succeeded(watched_pipelines.POLLS[0], "airflow")
    alerting.look()
    assert Alert.objects.count() == 4


def test_a_mirror_that_lags_behind_settles_nothing():
    make_pipeline("etl")
    rule()
    failed = ended("failed", 5)
    alerting.look()
    SyncState.failed(watched_pipelines.POLLS[1], "airflow", "away")
    Run.objects.filter(pk=failed.pk).update(state="success")
    alerting.look()
    assert states() == [("etl", "open")]


def test_an_alert_whose_rule_watches_the_pipeline_no_more_is_settled():
    make_pipeline("etl")
    one = rule()
    ended("failed", 5)
    alerting.look()
    AlertRule.objects.filter(pk=one.pk).update(pattern="other")
    alerting.look()
    assert states() == [("etl", "resolved")]
    alerts.raise_alert("drift", subject="etl", title="-", detail="-", facts={})
    alerting.look()
    assert states()[-1] == ("etl", "open")  # no rule of pipelines


def test_a_pipeline_that_is_gone_for_a_moment_keeps_its_alert():
    """Airflow lists none while it reads the file anew."""
    make_pipeline("etl")
    one = rule()
    ended("failed", 5)
    alerting.look()
    Pipeline.objects.update(gone_at=ago(minutes=4))
    alerting.look()
    assert states() == [("etl", "open")]
    Pipeline.objects.update(gone_at=ago(minutes=6))
    alerting.look()
    assert states() == [("etl", "resolved")]
    assert last_words().startswith("Airflow no longer has the pipeline “etl”")
    Alert.objects.update(state="open")
    Pipeline.objects.update(gone_at=ago(minutes=4))
    one.delete()
    alerting.look()
    assert states() == [("etl", "resolved")]
    assert last_words() == "No rule watches it any more."


def last_words() -> str:
    """Why the latest alert has the state that it has."""
    return Alert.objects.latest("pk").steps.last().reason


@pytest.mark.parametrize("pattern", ["etl", "etl*"])
@pytest.mark.parametrize("kind", ["no-success", "not-started"])
def test_a_pipeline_that_is_gone_resolves_no_alert_that_it_does_not_run(kind, pattern):
    make_pipeline("etl", awake_at=None, next_run_at=ago(hours=2))
    rule(kind, pattern=pattern, limit_s=3600)
    alerting.look()
    Alert.objects.update(first_found_at=ago(minutes=20), last_found_at=ago(minutes=20))
    Pipeline.objects.update(gone_at=ago(minutes=4))
    alerting.look()
    assert "no longer has" not in Alert.objects.get().detail
    Pipeline.objects.update(gone_at=ago(minutes=6))
    for _round in range(2):
        alerting.look()
    alert = Alert.objects.get()
    assert (alert.state, alert.n_findings) == ("open", 2)
    assert alert.detail.startswith("Airflow no longer has the pipeline “etl”")
    assert "gone since" in [fact["name"] for fact in alert.facts]


@pytest.mark.parametrize(("pattern", "found"), [("etl", [("etl", "open")]), ("etl*", [])])
@pytest.mark.parametrize("kind", ["no-success", "not-started"])
def test_a_pipeline_that_is_gone_breaks_the_rule_that_names_it(kind, pattern, found):
    """Of a pattern any pipeline may leave."""
    make_pipeline("etl", awake_at=None, gone_at=ago(minutes=50), next_run_at=None)
    rule(kind, pattern=pattern, limit_s=3600)
    ended("success", 55)
    alerting.look()
    assert states() == []
    Pipeline.objects.update(gone_at=ago(minutes=61))
    Run.objects.update(ended_at=ago(minutes=62))
    for _round in range(2):
        alerting.look()
    assert states() == found
    assert [alert.n_findings for alert in Alert.objects.all()] == [1 for _one in found]


def test_what_somebody_resolved_of_a_pipeline_that_is_gone_stays_resolved(root):
    make_pipeline("etl", awake_at=None, gone_at=ago(hours=2))
    rule("no-success", pattern="etl", limit_s=3600)
    alerting.look()
    alerts.resolve(Alert.objects.get().pk, by=root, reason="It was dropped.")
    alerting.look()
    assert states() == [("etl", "resolved")]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("no-success", "The pipeline was away or off for long: its time is counted anew."),
        ("not-started", "The run is no longer expected."),
    ],
)
def test_a_pipeline_that_is_back_settles_with_true_words(kind, words):
    make_pipeline("etl", awake_at=None, gone_at=ago(hours=3), next_run_at=ago(hours=4))
    rule(kind, pattern="etl", limit_s=3600)
    alerting.look()
    Pipeline.objects.update(gone_at=None, awake_at=timezone.now(), next_run_at=None)
    alerting.look()
    assert states() == [("etl", "resolved")]
    assert last_words() == words


def test_a_run_that_began_late_settles_with_true_words():
    make_pipeline("etl", awake_at=None, next_run_at=ago(minutes=20))
    rule("not-started", limit_s=600)
    alerting.look()
    Pipeline.objects.update(next_run_at=timezone.now() + timedelta(hours=1))
    make_run("etl", "running", run_type="scheduled", created_at=ago(minutes=1), started_at=ago(minutes=1))
    alerting.look()
    assert last_words() == "The run began."


def test_an_alert_that_cannot_be_settled_stops_no_other(monkeypatch):
    for name in ("a", "odd", "z"):
        make_pipeline(name)
        ended("failed", 5, name)
    rule(pattern="*")
    alerting.look()
    AlertRule.objects.all().delete()
    settle = alerts.settle

    def broken(name, subject, **more):
        if subject == "odd":
            raise ZeroDivisionError("no")
        return settle(name, subject, **more)

    monkeypatch.setattr(alerts, "settle", broken)
    alerting.look()
    assert sorted(states()) == [("a", "resolved"), ("odd", "open"), ("z", "resolved")]
    row = SetAside.objects.get()
    assert (row.about, row.reason) == ("odd", "ZeroDivisionError: no")


def test_the_queries_do_not_grow_with_pipelines_and_runs():
    rule(pattern="*", limit_s=0)
    rule("slow", pattern="*", limit_s=3600)
    for n in range(40):
        make_pipeline(f"dag {n}")
        for m in range(5):
            ended("success", 10 * m + 1, f"dag {n}")
        ended("failed", 90, f"dag {n}")
    with CaptureQueriesContext(connection) as asked:
        alerting.look()
    # within a test's transaction each pair has a savepoint
    assert len([one for one in asked if "SAVEPOINT" not in one["sql"]]) == 11


def test_when_a_pipeline_woke_up_is_noted():
    first = Dag("etl", "etl", "", [], [], "", "", None, True, False, "etl.py", 16)
    mirror.save_dags([first])
    Pipeline.objects.update(awake_at=None)
    mirror.save_dags([first])
    assert Pipeline.objects.get().awake_at is None
    mirror.save_dags([replace(first, is_paused=False)])
    assert Pipeline.objects.get().awake_at is not None


@pytest.mark.parametrize(("gone_h", "is_new"), [(0.5, False), (2, True)])
def test_a_pipeline_that_was_away_for_long_gets_its_time_anew(gone_h, is_new):
    first = Dag("etl", "etl", "", [], [], "", "", None, False, False, "etl.py", 16)
    mirror.save_dags([first])
    woke_at = ago(days=3)
    Pipeline.objects.update(awake_at=woke_at, gone_at=ago(hours=gone_h))
    mirror.save_dags([first])
    found = Pipeline.objects.get()
    assert found.gone_at is None
    assert (found.awake_at != woke_at) == is_new


# --- rules


def test_a_rule_is_made_changed_switched_and_removed(scientist):
    make_pipeline("etl")
    ended("failed", 5)
    made = alert_rules.create(kind="failed", pattern="etl", limit_s=7, severity="info", by=scientist)
    assert (made.limit_s, made.changed_by) == (0, "ana")
    AlertRule.objects.update(judged_from=ago(days=1))
    alerting.look()
    assert states() == [("etl", "open")]
    alert_rules.change(made.pk, severity="critical", by=scientist)
    assert states() == [("etl", "open")]
    alert_rules.change(made.pk, is_active=False, by=scientist)
    assert states() == [("etl", "resolved")]
    changed = alert_rules.change(made.pk, is_active=True, by=scientist)
    assert changed.judged_from > ago(minutes=1)
    alerting.look()
    assert states() == [("etl", "resolved")]  # it failed before
    alert_rules.remove(made.pk, by=scientist)
    assert not AlertRule.objects.exists()
    done = AuditEntry.objects.filter(object_type="pipelines.alertrule").order_by("pk")
    words = [entry.action.removeprefix("alert_rule.") for entry in done]
    assert words == ["create", "change", "change", "change", "remove"]


def test_a_rule_of_another_kind_settles_what_it_found(scientist):
    make_pipeline("etl")
    one = rule()
    ended("failed", 5)
    alerting.look()
    alert_rules.change(one.pk, kind="slow", limit_s=60, by=scientist)
    assert states() == [("etl", "resolved")]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": "slow", "limit_s": 0}, "limit_s"),
        ({"kind": "slow", "limit_s": 10**9}, "limit_s"),
        ({"kind": "not-started", "limit_s": 59}, "limit_s"),
        ({"pattern": "  "}, "pattern"),
        ({}, "pattern"),  # there is one already
    ],
)
def test_a_rule_that_cannot_be_is_refused_at_its_field(scientist, values, field):
    rule(pattern="etl")
    with pytest.raises(InvalidRequest) as refused:
        alert_rules.create(**{"kind": "failed", "pattern": "etl", **values}, by=scientist)
    assert refused.value.errors[0]["field"] == field


def test_viewers_look_and_change_nothing(viewer, client):
    one = rule()
    client.force_login(viewer)
    for address in (LIST, f"{LIST}/{one.pk}", REST, f"{REST}/{one.pk}"):
        assert client.get(address).status_code == 200
    assert client.get(f"{LIST}/new").status_code == 403
    assert "Remove this rule" not in client.get(f"{LIST}/{one.pk}").content.decode()
    for act in (
        lambda: alert_rules.create(kind="failed", pattern="a", by=viewer),
        lambda: alert_rules.change(one.pk, is_active=False, by=viewer),
        lambda: alert_rules.remove(one.pk, by=viewer),
    ):
        with pytest.raises(Denied):
            act()


# --- what it would have raised


def test_the_preview_changes_nothing_and_shows_the_newest_first():
    make_pipeline("etl")
    make_pipeline("etl_b")
    make_pipeline("other")
    for minutes, state in (
        (60 * 24 * 8, "failed"),
        (500, "success"),
        (400, "failed"),
        (300, "failed"),
        (9, "success"),
    ):
        ended(state, minutes)
    ended("failed", 100, "etl_b")
    ended("failed", 100, "other")
    found = alert_rules.preview(AlertRule(kind="failed", pattern="etl*"))
    assert (found.n_pipelines, found.n) == (2, 2)
    assert [one.dag_id for one in found.newest] == ["etl_b", "etl"]
    assert found.newest[1].run_id is not None
    assert not Alert.objects.exists()
    assert not AlertRule.objects.exists()


def test_the_preview_knows_what_was_before_its_week():
    make_pipeline("etl")
    ended("failed", 60 * 24 * 8)
    ended("failed", 100)
    found = alert_rules.preview(AlertRule(kind="failed", pattern="etl"))
    assert found.n == 0  # the alert of the run before was open still


def test_the_preview_of_long_runs_and_gaps():
    make_pipeline("etl")
    ended("success", 300, took=30)
    ended("success", 10, took=1)
    assert alert_rules.preview(AlertRule(kind="slow", pattern="etl", limit_s=600)).n == 1
    assert alert_rules.preview(AlertRule(kind="no-success", pattern="etl", limit_s=3600)).n == 1
    assert alert_rules.preview(AlertRule(kind="not-started", pattern="etl", limit_s=60)).n == 0


# --- pages and REST


def test_the_form_previews_then_makes_the_rule(page):
    make_pipeline("etl")
    ended("success", 100, took=30)
    answer = page.post(f"{LIST}/new", {**FORM, "preview": "1"})
    assert answer.status_code == 200
    assert "It would have raised 1 alert" in answer.content.decode()
    assert not AlertRule.objects.exists()
    assert page.post(f"{LIST}/new", FORM)["Location"] == LIST
    made = AlertRule.objects.get()
    assert (made.kind, made.limit_s, made.pattern, made.severity) == ("slow", 600, "etl*", "critical")
    shown = page.get(f"{LIST}/{made.pk}").content.decode()
    assert 'value="10"' in shown
    assert "It would have raised 1 alert" in shown
    assert page.post(f"{LIST}/{made.pk}", {**FORM, "amount": "2", "unit": "3600"})["Location"] == LIST
    made.refresh_from_db()
    assert made.limit_s == 7200


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"amount": ""}, "Say how long it may take"),
        ({"amount": "-1"}, "Write 1 or more"),
        ({"pattern": ""}, "This is required"),
        ({"kind": "loud"}, "none of the choices"),
        ({"amount": "1000000", "unit": "86400"}, "from a second to a year"),
        ({"amount": "1000000", "unit": "86400", "preview": "1"}, "from a second to a year"),
        ({"kind": "not-started", "amount": "59", "unit": "1", "preview": "1"}, "a minute at least"),
    ],
)
def test_a_form_that_cannot_be_comes_back(page, values, words):
    answer = page.post(f"{LIST}/new", {**FORM, **values})
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_a_limit_of_a_kind_that_has_none_does_not_count(page):
    given = {"kind": "failed", "amount": "1000000", "unit": "86400", "preview": "1"}
    assert page.post(f"{LIST}/new", {**FORM, **given}).status_code == 200


def test_a_rule_is_switched_and_removed_from_its_pages(page):
    one = rule()
    assert page.post(f"{LIST}/{one.pk}/switch", {"is_active": "0"}).status_code == 302
    one.refresh_from_db()
    assert not one.is_active
    assert page.post(f"{LIST}/{one.pk}/remove").status_code == 302
    assert not AlertRule.objects.exists()
    assert page.get(f"{LIST}/{one.pk}").status_code == 404


def test_the_list_counts_open_alerts_and_the_pipeline_names_its_rules(page):
    make_pipeline("etl")
    rule()
    rule("slow", pattern="other", limit_s=60)
    ended("failed", 5)
    alerting.look()
    shown = page.get(LIST).content.decode()
    assert "?rule=pipeline-failed%3A" in shown
    facts = page.get(reverse("pipelines:pipeline-facts", args=["etl"])).content.decode()
    assert "etl*" in facts
    assert f"{LIST}/new?pattern=etl" in facts
    assert "took longer than" not in facts
    assert 'value="etl"' in page.get(f"{LIST}/new?pattern=etl").content.decode()


def test_rules_over_rest(page):
    make_pipeline("etl")
    ended("failed", 100)
    json = {"content_type": "application/json"}
    wanted = {"kind": "failed", "pattern": "etl"}
    preview = page.post(f"{REST}/preview", wanted, **json).json()
    assert (preview["n"], preview["n_pipelines"], preview["newest"][0]["dag_id"]) == (1, 1, "etl")
    made = page.post(REST, wanted, **json)
    assert made.status_code == 201
    address = f"{REST}/{made.json()['id']}"
    assert page.get(REST).json()["results"] == [made.json()]
    changed = page.patch(address, {"kind": "slow", "limit_s": 60}, **json).json()
    assert (changed["kind"], changed["limit_s"]) == ("slow", 60)
    assert changed["alert_name"].startswith("pipeline-slow:")
    assert page.patch(address, {"limit_s": 0}, **json).status_code == 422
    assert page.patch(address, {"colour": "red"}, **json).json()["errors"][0]["field"] == "colour"
    assert page.delete(address).status_code == 204
    assert page.get(address).status_code == 404
