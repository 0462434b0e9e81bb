"""The list with its chips, one alert, the bell and the box of the overview."""

import re

import pytest
from django.urls import reverse

from core.alerts import actions, queries
from core.alerts.models import Alert
from core.alerts.states import State
from tests.markup import flat
from tests.people import make_user, signed_in
from tests.unit.alerts.conftest import find, in_hours, opened

pytestmark = pytest.mark.django_db
LIST = "/monitoring/alerts"


def chips(page: str) -> dict[str, int]:
    """Number of alerts by the word of the chip."""
    found = re.findall(r'class="chip[^>]*>([^<]+) <span class="num">(\d+)</span>', page)
    return {word.strip(): int(n) for word, n in found}


def subjects(answer) -> list[str]:
    return [alert.subject for alert in answer.context["alerts"]]


@pytest.fixture
def some(ana):
    """One of each state, the open one critical."""
    for subject in ("acknowledged", "muted", "resolved"):
        opened(subject)
    by_subject = {alert.subject: alert.pk for alert in Alert.objects.all()}
    actions.acknowledge(by_subject["acknowledged"], by=ana)
    actions.mute(by_subject["muted"], until=in_hours(1), by=ana)
    actions.resolve(by_subject["resolved"], by=ana, reason="Over.")
    return opened("open", rule="alias-changed", severity="critical")


def test_the_list_shows_what_is_unresolved_latest_first(viewer, some):
    find("muted")
    answer = viewer.get(LIST)
    assert subjects(answer) == ["muted", "open", "acknowledged"]
    counted = {"unresolved": 3, "open": 1, "acknowledged": 1, "muted": 1, "resolved": 1, "all": 4}
    assert chips(answer.content.decode()) == {
        **counted,
        "critical": 1,
        "warning": 2,
        "alias-changed": 1,
        "drift": 2,
    }


def test_filters_work_together_and_chips_count_what_they_would_leave(viewer, some):
    answer = viewer.get(LIST, {"state": "all", "severity": "warning", "rule": "drift"})
    assert subjects(answer) == ["resolved", "muted", "acknowledged"]
    counted = chips(answer.content.decode())
    assert (counted["open"], counted["resolved"], counted["warning"]) == (0, 1, 3)
    assert "critical" not in counted


@pytest.mark.parametrize("query", [{"state": "nonsense"}, {"page": "99"}, {"severity": "loud"}])
def test_a_query_that_makes_no_sense_shows_the_list(viewer, some, query):
    assert len(subjects(viewer.get(LIST, query))) == 3


def test_a_long_list_takes_the_same_queries(viewer, django_assert_num_queries):
    for number in range(60):
        opened(f"model {number:02}")
    with django_assert_num_queries(6):  # session, user, roles; the count, the page, the chips
        answer = viewer.get(LIST)
    assert len(subjects(answer)) == 50
    assert len(subjects(viewer.get(LIST, {"page": 2}))) == 10


def test_htmx_gets_the_list_alone(viewer, some):
    page = flat(viewer.get(LIST, headers={"HX-Request": "true"}))
    assert page.startswith('<div id="alert-list"')


def test_an_alert_shows_its_numbers_and_asks_for_its_evidence(viewer):
    alert = opened(title="Age <drifts>", evidence_url="/monitoring/drift/titanic/7")
    page = viewer.get(f"{LIST}/{alert.pk}").content.decode()
    assert "Age &lt;drifts&gt;" in page
    assert "8.0\u00a0%" in page
    assert 'hx-get="/monitoring/drift/titanic/7"' in page
    assert "Your roles do not include alerts.handle" in page


def test_the_timeline_tells_who_did_what(engineer, ana):
    alert = opened()
    actions.acknowledge(alert.pk, by=ana, reason="Looking.")
    actions.settle("drift", "titanic", reason="Like the reference again.")
    page = engineer.get(f"{LIST}/{alert.pk}").content.decode()
    told = ["ana looks after it", "Looking.", "Resolved by itself", "Like the reference again."]
    assert [page.index(words) for words in told] == sorted(page.index(words) for words in told)


def test_each_step_is_a_plain_form(engineer):
    alert = opened()
    address = f"{LIST}/{alert.pk}"
    for step, fields, state in (
        ("acknowledge", {}, State.ACKNOWLEDGED),
        ("mute", {"hours": "8", "reason": "A holiday."}, State.MUTED),
        ("resolve", {"reason": "Over."}, State.RESOLVED),
    ):
        answer = engineer.post(f"{address}/{step}", fields)
        assert (answer.status_code, answer["Location"]) == (302, address)
        alert.refresh_from_db()
        assert alert.state == state


@pytest.mark.parametrize(
    ("step", "fields"),
    [
        ("resolve", {"reason": "  "}),
        ("mute", {"hours": "5"}),
        ("mute", {}),
        ("acknowledge", {"reason": "x" * 1001}),
    ],
)
def test_a_form_that_is_not_filled_in_comes_back(engineer, step, fields):
    answer = engineer.post(f"{LIST}/{opened().pk}/{step}", fields)
    assert answer.status_code == 422
    assert b"Correct the following" in answer.content


def test_a_step_that_is_too_late_says_so(engineer, ana):
    alert = opened()
    actions.resolve(alert.pk, by=ana, reason="Over.")
    answer = engineer.post(f"{LIST}/{alert.pk}/acknowledge")
    assert answer.status_code == 409
    assert b"a new alert opens" in answer.content


def test_the_ticked_ones_are_acknowledged(engineer):
    first, second = opened("one"), opened("two")
    answer = engineer.post(reverse("alerts:acknowledge-selected"), {"alert": [first.pk, "x", 10**30]})
    assert answer["Location"] == LIST
    assert queries.open_count().n == 1
    second.refresh_from_db()
    assert second.state == State.OPEN


def test_the_bell_counts_open_alerts_and_shows_the_worst(viewer, some, django_assert_num_queries):
    opened("another")
    with django_assert_num_queries(4):  # session, user, roles; the count
        page = viewer.get("/monitoring/alerts/-/bell").content.decode()
    assert "Alerts: 2 are open" in page
    assert "is-bad" in page


def test_a_page_does_not_wait_for_the_bell(viewer, some, django_assert_num_queries):
    with django_assert_num_queries(3):  # session, user, roles
        page = viewer.get("/search").content.decode()
    assert 'hx-get="/monitoring/alerts/-/bell"' in page


def test_the_overview_lists_the_worst_first(viewer, some):
    opened("another")
    page = viewer.get("/monitoring/alerts/-/overview-box").content.decode()
    assert page.index("alias-changed") < page.index("another")
    assert "acknowledged" not in page


def test_the_search_finds_unresolved_alerts(viewer, some):
    page = viewer.get("/search?q=drifts").content.decode()
    assert page.count("Age drifts") == 3


def test_who_may_only_predict_sees_no_bell(db):
    page = signed_in(make_user("pia", "predictor")).get("/account").content.decode()
    assert 'id="bell"' not in page


def test_no_two_fields_of_the_page_share_an_id(engineer):
    page = engineer.get(f"{LIST}/{opened().pk}").content.decode()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert sorted(ids) == sorted(set(ids))
