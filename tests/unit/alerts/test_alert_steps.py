"""What people do about an alert: each step allowed or refused in words, audited, on the timeline."""

import pytest

from core.access.policy import Denied
from core.alerts import actions
from core.alerts.states import State
from core.audit.models import AuditEntry
from core.lib.errors import Conflict, InvalidRequest, NotFound
from tests.people import make_user
from tests.unit.alerts.conftest import in_hours, opened

pytestmark = pytest.mark.django_db


def test_every_step_of_a_person_is_audited_and_on_the_timeline(ana):
    alert = opened()
    until = in_hours(5)
    actions.acknowledge(alert.pk, by=ana, reason="Looking.")
    actions.mute(alert.pk, until=until, by=ana)
    actions.resolve(alert.pk, by=ana, reason="New prices.")
    alert.refresh_from_db()
    assert (alert.state, alert.handled_by, alert.muted_until) == (State.RESOLVED, "ana", None)
    assert list(alert.steps.values_list("state", "by", "reason", "until"))[1:] == [
        ("acknowledged", "ana", "Looking.", None),
        ("muted", "ana", "", until),
        ("resolved", "ana", "New prices.", None),
    ]
    rows = AuditEntry.objects.order_by("pk").values_list(
        "action", "actor_name", "before__state", "after__state"
    )
    assert list(rows) == [
        ("alert.acknowledge", "ana", "open", "acknowledged"),
        ("alert.mute", "ana", "acknowledged", "muted"),
        ("alert.resolve", "ana", "muted", "resolved"),
    ]


def test_what_is_acknowledged_is_not_acknowledged_again(ana):
    alert = opened()
    actions.acknowledge(alert.pk, by=ana)
    with pytest.raises(Conflict, match="acknowledged, so it cannot become acknowledged"):
        actions.acknowledge(alert.pk, by=ana)


@pytest.mark.parametrize("step", ["acknowledge", "mute", "resolve"])
def test_a_resolved_alert_takes_no_step(ana, step):
    alert = opened()
    actions.resolve(alert.pk, by=ana, reason="Over.")
    more = {"acknowledge": {}, "mute": {"until": in_hours(1)}, "resolve": {"reason": "Again."}}[step]
    with pytest.raises(Conflict, match="resolved"):
        getattr(actions, step)(alert.pk, by=ana, **more)


@pytest.mark.parametrize("hours", [-1, 24 * 91])
def test_a_mute_ends_in_the_future_and_within_three_months(ana, hours):
    with pytest.raises(InvalidRequest, match="within 90 days"):
        actions.mute(opened().pk, until=in_hours(hours), by=ana)


def test_muting_again_sets_another_end(ana):
    alert = opened()
    actions.mute(alert.pk, until=in_hours(1), by=ana)
    later = in_hours(9)
    assert actions.mute(alert.pk, until=later, by=ana).muted_until == later


@pytest.mark.parametrize("role", ["viewer", "predictor"])
def test_only_some_roles_may_handle_alerts(role):
    with pytest.raises(Denied, match=r"alerts\.handle"):
        actions.acknowledge(opened().pk, by=make_user("vic", role))


def test_an_alert_that_is_not_there_is_not_found(ana):
    with pytest.raises(NotFound):
        actions.acknowledge(1, by=ana)


def test_many_are_acknowledged_at_once_and_the_others_left_alone(ana):
    alerts = [opened(f"model {number}") for number in range(3)]
    actions.mute(alerts[2].pk, until=in_hours(1), by=ana)
    touched = actions.acknowledge_many([alert.pk for alert in alerts], by=ana)
    assert [(alert.pk, alert.state) for alert in touched] == [(one.pk, "acknowledged") for one in alerts[:2]]
    assert AuditEntry.objects.filter(action="alert.acknowledge").count() == 2
