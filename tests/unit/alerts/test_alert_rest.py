"""Alerts over REST."""

import pytest
from django.utils.dateparse import parse_datetime

from core.alerts import actions
from tests.unit.alerts.conftest import STORED_FACTS, in_hours, opened

pytestmark = pytest.mark.django_db
LIST = "/api/v1/alerts"


def post(client, alert, step: str, body: dict):
    return client.post(f"{LIST}/{alert.pk}/{step}", body, content_type="application/json")


def test_an_alert_comes_with_facts_and_steps(viewer):
    alert = opened(url="/models/titanic")
    found = viewer.get(f"{LIST}/{alert.pk}").json()
    assert (found["rule"], found["subject"], found["facts"]) == ("drift", "titanic", STORED_FACTS)
    assert (found["state"], found["n_findings"], found["url"]) == ("open", 1, "/models/titanic")
    assert [step["state"] for step in found["steps"]] == ["open"]


def test_the_list_comes_in_pages_newest_first(viewer):
    alerts = [opened(f"model {number}") for number in range(3)]
    first = viewer.get(LIST, {"limit": 2}).json()
    second = viewer.get(first["next"]).json()
    found = [row["id"] for row in first["results"] + second["results"]]
    assert found == [alert.pk for alert in reversed(alerts)]
    assert second["next"] is None


def test_the_list_is_filtered(viewer, ana):
    actions.resolve(opened("old").pk, by=ana, reason="Over.")
    opened("titanic", severity="critical")
    opened("diabetes", rule="alias-changed")

    def found(**query: str) -> list[str]:
        return [row["subject"] for row in viewer.get(LIST, query).json()["results"]]

    assert found() == ["diabetes", "titanic", "old"]
    assert found(state="unresolved") == ["diabetes", "titanic"]
    assert found(state="resolved") == ["old"]
    assert found(severity="critical") == found(subject="titanic") == ["titanic"]
    assert found(rule="alias-changed") == ["diabetes"]


@pytest.mark.parametrize("query", [{"state": "loud"}, {"severity": "open"}])
def test_a_filter_that_makes_no_sense_is_refused(viewer, query):
    answer = viewer.get(LIST, query)
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == next(iter(query))


def test_each_step_answers_with_the_alert(engineer):
    alert = opened()
    until = in_hours(5)
    assert post(engineer, alert, "acknowledge", {}).json()["state"] == "acknowledged"
    muted = post(engineer, alert, "mute", {"until": until.isoformat(), "reason": "A holiday."}).json()
    assert (muted["state"], parse_datetime(muted["muted_until"])) == ("muted", until)
    resolved = post(engineer, alert, "resolve", {"reason": "Over."}).json()
    assert (resolved["state"], resolved["handled_by"]) == ("resolved", "ana")
    assert [step["reason"] for step in resolved["steps"]] == ["", "", "A holiday.", "Over."]


def test_a_state_that_does_not_allow_the_step_is_a_conflict_in_words(engineer):
    alert = opened()
    post(engineer, alert, "resolve", {"reason": "Over."})
    answer = post(engineer, alert, "acknowledge", {})
    assert answer.status_code == 409
    assert "resolved" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("step", "body", "field"),
    [
        ("resolve", {}, "reason"),
        ("resolve", {"reason": "x" * 1001}, "reason"),
        ("mute", {}, "until"),
        ("mute", {"until": "2001-01-01T00:00:00Z"}, "until"),
        ("acknowledge", {"note": "Looking."}, "note"),
    ],
)
def test_a_body_that_is_not_sound_is_refused_by_field(engineer, step, body, field):
    answer = post(engineer, opened(), step, body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_only_who_may_handle_alerts_can(viewer):
    assert post(viewer, opened(), "acknowledge", {}).status_code == 403


def test_no_such_alert_is_not_found(engineer):
    assert engineer.get(f"{LIST}/7").status_code == 404


def test_several_are_acknowledged_at_once(engineer):
    alerts = [opened(f"model {number}") for number in range(3)]
    assert post(engineer, alerts[2], "acknowledge", {}).status_code == 200
    wish = {"alert_ids": [alert.pk for alert in alerts] + [2**62], "reason": "On it."}
    answer = engineer.post(f"{LIST}/acknowledge", wish, content_type="application/json").json()
    found = [(row["id"], row["state"], row["handled_by"]) for row in answer["results"]]
    assert found == [(alert.pk, "acknowledged", "ana") for alert in alerts[:2]]
    assert engineer.get(f"{LIST}/{alerts[0].pk}").json()["steps"][-1]["reason"] == "On it."
    again = engineer.post(f"{LIST}/acknowledge", wish, content_type="application/json")
    assert (again.status_code, again.json()) == (200, {"results": [], "next": None})


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({}, "alert_ids"),
        ({"alert_ids": []}, "alert_ids"),
        ({"alert_ids": 1}, "alert_ids"),
        ({"alert_ids": [True]}, "alert_ids.0"),
        ({"alert_ids": [1, 2**63]}, "alert_ids.1"),
        ({"alert_ids": [1] * 201}, "alert_ids"),
        ({"alert_ids": [1], "reason": "a\x00"}, "reason"),
        ({"alert_ids": [1], "why": "x"}, "why"),
    ],
)
def test_a_wish_for_several_that_will_not_do_is_refused_by_field(engineer, wish, field):
    answer = engineer.post(f"{LIST}/acknowledge", wish, content_type="application/json")
    assert answer.status_code == 422
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_only_some_roles_acknowledge_several(viewer):
    wish = {"alert_ids": [opened().pk]}
    assert viewer.post(f"{LIST}/acknowledge", wish, content_type="application/json").status_code == 403
