"""What Alertmanager sends, as it really sends it, and what else may come."""

import pytest

from core.access import policy
from core.alerts import actions, loops
from core.alerts.models import Alert
from core.audit.models import AuditEntry
from tests.people import make_user, signed_in
from tests.unit.alerts.conftest import in_hours, long_ago

pytestmark = pytest.mark.django_db

URL = "/api/v1/alerts/prometheus"
NEVER = "0001-01-01T00:00:00Z"


def alert(name: str = "PartDown", *, status: str = "firing", **given) -> dict:
    """One alert of a message."""
    return {
        "status": status,
        "labels": {"alertname": name, "severity": "warning", "part": "kafka"},
        "annotations": {
            "summary": "Kafka does not answer",
            "description": "For two minutes.",
            "runbook": "docs/runbooks.md#part-down",
        },
        "startsAt": "2026-03-01T10:00:00.123Z",
        "endsAt": NEVER,
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": name.lower()[:16],
        **given,
    }


def message(*alerts, **given) -> dict:
    """As Alertmanager 0.25 wraps them."""
    return {
        "receiver": "console",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": {"alertname": "PartDown"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": '{}:{alertname="PartDown"}',
        "truncatedAlerts": 0,
        **given,
    }


@pytest.fixture
def send(engineer):
    """The answer to a message."""

    def post(body: object) -> dict:
        answer = engineer.post(URL, body, content_type="application/json")
        assert answer.status_code == 200, answer.text
        return {name: n for name, n in answer.json().items() if n}

    return post


def test_an_alert_opens_with_what_prometheus_says(send):
    assert send(message(alert(fingerprint="aa11"))) == {"n_opened": 1}
    found = Alert.objects.get()
    assert (found.rule, found.subject, found.severity) == ("prometheus", "PartDown aa11", "warning")
    assert (found.title, found.detail) == ("Kafka does not answer", "For two minutes.")
    assert {fact.name: fact.value for fact in found.fact_rows} == {
        "part": "kafka",
        "since": "2026-03-01T10:00:00.123Z",
        "runbook": "docs/runbooks.md#part-down",
    }
    entry = AuditEntry.objects.get(action="alert.report")
    assert (entry.actor_name, entry.after["title"]) == ("ana", "Kafka does not answer")


def test_one_alert_for_each_fingerprint_however_often_it_comes(send):
    both = message(alert(fingerprint="aa"), alert(fingerprint="bb"))
    assert send(both) == {"n_opened": 2}
    assert send(both) == {"n_counted": 2}
    assert sorted(Alert.objects.values_list("subject", "n_findings")) == [
        ("PartDown aa", 2),
        ("PartDown bb", 2),
    ]
    assert AuditEntry.objects.filter(action="alert.report").count() == 2


def test_it_is_resolved_with_prometheus_and_opens_anew_at_once(send):
    send(message(alert()))
    over = message(alert(status="resolved", endsAt="2026-03-01T10:05:00Z"), status="resolved")
    assert send(over) == {"n_resolved": 1}
    found = Alert.objects.get()
    assert (found.state, found.handled_by) == ("resolved", "")
    assert AuditEntry.objects.filter(action="alert.resolve").exists()
    assert send(message(alert())) == {"n_opened": 1}
    assert Alert.objects.count() == 2


def test_the_end_of_an_alert_that_nobody_knows_changes_nothing(send):
    assert send(message(alert(status="resolved"))) == {"n_resolved": 1}
    assert not Alert.objects.exists()


def test_a_mute_holds_until_it_ends(send, ana):
    send(message(alert()))
    found = Alert.objects.get()
    actions.mute(found.pk, until=in_hours(1), by=ana)
    assert send(message(alert())) == {"n_counted": 1}
    long_ago(found, hours=2)
    assert send(message(alert())) == {"n_opened": 1}
    assert Alert.objects.get().state == "open"
    assert AuditEntry.objects.filter(action="alert.report").count() == 1


@pytest.mark.parametrize(
    ("label", "severity"),
    [("critical", "critical"), ("Page", "critical"), ("info", "info"), ("none", "info"), ("P3", "warning")],
)
def test_severities_of_others_have_a_meaning(send, label, severity):
    send(message(alert(labels={"alertname": "X", "severity": label})))
    assert Alert.objects.get().severity == severity


def test_an_alert_without_annotations_severity_and_fingerprint_is_told_by_its_labels(send):
    bare = {"status": "firing", "labels": {"alertname": "X", "instance": "a:1"}}
    assert send({"alerts": [bare]}) == {"n_opened": 1}
    assert send({"alerts": [bare]}) == {"n_counted": 1}
    found = Alert.objects.get()
    assert (found.title, found.severity, found.detail) == ("X", "warning", "")
    assert found.subject.startswith("X ")


def test_long_and_odd_texts_are_cut_and_kept(send):
    odd = alert(
        "n" * 5_000,
        labels={"alertname": "n" * 5_000, **{f"label_{n}": "v" * 5_000 for n in range(100)}},
        annotations={"summary": "s\x00" * 5_000, "description": 7, "runbook": None},
        fingerprint="f" * 5_000,
    )
    assert send(message(odd)) == {"n_opened": 1}
    assert send(message(odd)) == {"n_counted": 1}
    found = Alert.objects.get()
    assert len(found.subject) <= 300
    assert len(found.title) == 200
    assert found.detail == "7"


BAD = [
    "text",
    None,
    {},
    {"status": "firing"},
    {"status": "firing", "labels": []},
    {"status": "firing", "labels": ["alertname"]},
    {"status": "firing", "labels": {"alertname": "X"}, "annotations": "words"},
    {"status": "pending", "labels": {"alertname": "X"}},
    {"labels": {"alertname": "X"}},
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_what_is_no_alert_is_set_aside_and_the_others_go_on(send, bad):
    assert send(message(bad, alert())) == {"n_opened": 1, "n_set_aside": 1}
    assert Alert.objects.get().subject.startswith("PartDown")
    row = loops.PROMETHEUS.rows().get()
    assert row.reason
    assert row.key


def test_all_that_is_bad_comes_at_once_and_each_is_set_aside(send):
    assert send(message(*BAD, alert()))["n_opened"] == 1


def test_what_alertmanager_cut_off_is_told(send):
    assert send(message(alert(), truncatedAlerts=3)) == {"n_opened": 1, "n_left_out": 3}
    assert send(message(alert(), truncatedAlerts="many")) == {"n_counted": 1}


def test_a_message_without_alerts_is_one(send):
    assert send(message()) == {}


@pytest.mark.parametrize("body", [[], {}, {"alerts": {}}, {"alerts": None}, 7])
def test_what_is_no_message_is_refused(engineer, body):
    answer = engineer.post(URL, body, content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "alerts"


def test_text_that_is_no_json_is_refused(engineer):
    assert engineer.post(URL, "alerts: []", content_type="application/json").status_code == 400


@pytest.mark.parametrize("role", [role for role in policy.ROLES if role not in ("engineer", "admin")])
def test_only_who_may_report_can(role):
    answer = signed_in(make_user(role, role)).post(URL, message(alert()), content_type="application/json")
    assert answer.status_code == 403
    assert not Alert.objects.exists()
