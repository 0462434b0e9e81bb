"""One alert for one cause: opened, counted, quiet after it was resolved, open again after a mute."""

import threading
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.db import IntegrityError, connection, transaction

from core.alerts import actions
from core.alerts.models import Alert
from core.alerts.states import State
from core.audit.models import AuditEntry
from tests.unit.alerts.conftest import STORED_FACTS, find, in_hours, long_ago, opened

pytestmark = pytest.mark.django_db


def test_a_finding_opens_an_alert():
    alert = opened(severity="critical", url="/models/titanic", is_demo=True)
    alert.refresh_from_db()
    assert (alert.rule, alert.subject, alert.state, alert.severity) == (
        "drift",
        "titanic",
        "open",
        "critical",
    )
    assert (alert.n_findings, alert.facts, alert.is_demo) == (1, STORED_FACTS, True)
    assert [step.state for step in alert.steps.all()] == [State.OPEN]


def test_further_findings_are_counted_with_the_latest_facts(ana):
    alert = opened()
    assert find(facts={"rows": 500}, title="It drifts on") is None
    actions.acknowledge(alert.pk, by=ana)
    assert find(facts={"rows": 900}, severity="critical") is None
    alert.refresh_from_db()
    assert (alert.n_findings, alert.state, alert.severity) == (3, State.ACKNOWLEDGED, "critical")
    assert alert.facts == [{"name": "rows", "value": 900}]
    assert alert.last_found_at > alert.first_found_at


@pytest.mark.parametrize("is_demo_first", [True, False])
def test_an_alert_with_one_real_finding_is_not_of_the_demonstration(is_demo_first):
    alert = opened(is_demo=is_demo_first)
    find(is_demo=not is_demo_first)
    find(is_demo=True)
    assert actions.remove_demo() == 0
    alert.refresh_from_db()
    assert alert.n_findings == 3


def test_an_alert_of_the_longest_name_in_another_script_opens():
    name = "\N{GOTHIC LETTER AHSA}" * 250
    path = f"/monitoring/drift/{quote(name)}/7"
    alert = opened(name, url=path, evidence_url=f"{path}/evidence")
    alert.refresh_from_db()
    assert alert.subject == name


def test_another_subject_and_another_rule_open_alerts_of_their_own():
    assert opened().pk != opened("diabetes").pk != opened(rule="alias-changed").pk


def test_nothing_opens_within_the_cooldown_and_the_finding_is_counted(ana):
    alert = opened()
    actions.resolve(alert.pk, by=ana, reason="A holiday.")
    assert find(facts={}) is None
    alert.refresh_from_db()
    assert (alert.state, alert.n_findings, alert.facts) == (State.RESOLVED, 2, STORED_FACTS)


def test_a_cause_that_comes_back_is_told_though_it_was_away_for_a_moment():
    first = opened()
    actions.settle("drift", "titanic")
    assert opened().pk != first.pk


def test_a_new_alert_opens_after_the_cooldown(ana):
    alert = opened()
    actions.resolve(alert.pk, by=ana, reason="A holiday.")
    long_ago(alert, minutes=61)
    assert opened().pk != alert.pk


def test_the_cooldown_is_the_callers_choice(ana):
    alert = opened()
    actions.resolve(alert.pk, by=ana, reason="A holiday.")
    assert find(cooldown=timedelta(0)) is not None


def test_a_muted_alert_stays_muted_until_its_time(ana):
    alert = opened()
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    assert find() is None
    alert.refresh_from_db()
    assert (alert.state, alert.n_findings) == (State.MUTED, 2)


def test_a_finding_after_the_mute_opens_the_same_alert_again(ana):
    alert = opened()
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    long_ago(alert, hours=2)
    assert find() == alert
    alert.refresh_from_db()
    assert (alert.state, alert.muted_until, alert.handled_by) == (State.OPEN, None, "")
    assert [step.state for step in alert.steps.all()] == [State.OPEN, State.MUTED, State.OPEN]


def test_a_cause_that_is_gone_resolves_the_alert_by_itself():
    alert = opened()
    assert actions.settle("drift", "titanic", reason="The window looks like the reference.") == alert
    alert.refresh_from_db()
    last = alert.steps.last()
    assert (alert.state, last.by, last.reason) == ("resolved", "", "The window looks like the reference.")
    assert AuditEntry.objects.get(action="alert.resolve").actor_name == "system"


def test_settling_where_nothing_is_found_does_nothing():
    opened("diabetes")
    assert actions.settle("drift", "titanic") is None
    assert Alert.objects.get().state == State.OPEN


@pytest.mark.parametrize("url", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"])
def test_an_address_of_elsewhere_is_refused(url):
    with pytest.raises(ValueError, match="not a path"):
        find(evidence_url=url)


def test_facts_are_kept_within_bounds():
    many = {f"fact {number}": "x" * 1000 for number in range(100)}
    alert = opened(facts={"odd": float("nan"), "text\x00": "a\x00b", **many}, title="t" * 500)
    alert.refresh_from_db()
    assert len(alert.facts) == 40
    assert alert.facts[0] == {"name": "odd", "value": "nan"}
    assert len(alert.facts[2]["value"]) == 300
    assert len(alert.title) == 200


def test_the_database_refuses_a_second_unresolved_alert():
    opened()
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(rule="drift", subject="titanic", title="Another")


def test_alerts_of_the_demonstration_go_alone():
    opened(is_demo=True)
    kept = opened("diabetes")
    assert actions.remove_demo() == 1
    assert Alert.objects.get() == kept


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_after_another", [False, True], ids=["first", "after a resolved one"])
def test_findings_at_once_make_one_alert(is_after_another):
    n = 20
    if is_after_another:
        opened()
        actions.settle("drift", "titanic")
    start = threading.Barrier(n)
    made: list[Alert | None] = []

    def find_too() -> None:
        try:
            start.wait(timeout=20)
            made.append(find(cooldown=timedelta(0)))
        finally:
            connection.close()

    threads = [threading.Thread(target=find_too) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unresolved = Alert.objects.get(state=State.OPEN)
    assert [alert for alert in made if alert is not None] == [unresolved]
    assert (len(made), unresolved.n_findings) == (n, n)


def flapped(**values) -> Alert:
    """The cause goes, and comes back at once."""
    actions.settle("drift", "titanic")
    return opened(cooldown=timedelta(0), **values)


def test_a_mute_goes_on_while_the_cause_goes_and_comes(ana):
    first, until = opened(), in_hours(1)
    actions.mute(first.pk, until=until, by=ana, reason="A holiday.")
    for _ in range(2):
        again = flapped()
        assert (again.state, again.muted_until, again.handled_by) == (State.MUTED, until, "ana")
        assert [step.state for step in again.steps.all()] == [State.OPEN, State.MUTED]
    long_ago(again, hours=2)
    assert find() == again
    again.refresh_from_db()
    assert again.state == State.OPEN


def test_a_mute_that_is_over_goes_on_no_more(ana):
    alert = opened()
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    long_ago(alert, hours=2)
    alert.steps.update(until=alert.muted_until)
    assert flapped().state == State.OPEN


def test_a_mute_ends_with_the_alert_that_a_person_resolved(ana):
    alert = opened()
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    actions.resolve(alert.pk, by=ana, reason="Mended.")
    assert opened(cooldown=timedelta(0)).state == State.OPEN


def test_what_was_acknowledged_since_its_mute_opens_anew(ana):
    alert = opened()
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    actions.acknowledge(alert.pk, by=ana)
    assert flapped().state == State.OPEN
