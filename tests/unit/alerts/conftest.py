"""People who may handle alerts and who may not, findings, and no Redis."""

from datetime import timedelta

import pytest
from django.utils import timezone

from core.alerts import actions
from core.alerts.models import Alert
from tests.people import make_user, signed_in
from tests.redis_fixtures import *  # noqa: F403

FACTS = {"PSI of Age": {"value": 0.31, "threshold": 0.2}, "missing": {"value": 0.08, "unit": "share"}}
STORED_FACTS = [
    {"name": "PSI of Age", "value": 0.31, "threshold": 0.2},
    {"name": "missing", "value": 0.08, "unit": "share"},
]

UNWRITABLE = f"bo@{chr(0xF1) * 60}.com"  # longer in ASCII than a name of a host may be


def find(subject: str = "titanic", rule: str = "drift", **values) -> Alert | None:
    """One finding, as an app would tell of it."""
    given = {"title": "Age drifts", "detail": "Since noon.", "facts": FACTS, **values}
    return actions.raise_alert(rule, subject=subject, **given)


def opened(subject: str = "titanic", **values) -> Alert:
    """An alert that is open."""
    alert = find(subject, **values)
    assert alert is not None
    return alert


def long_ago(alert: Alert, **ago: float) -> None:
    """Put the alert's last step and the end of its mute back in time."""
    alert.refresh_from_db()
    earlier = timedelta(**ago)
    alert.state_since -= earlier
    if alert.muted_until is not None:
        alert.muted_until -= earlier
    alert.save()


def in_hours(hours: float):
    return timezone.now() + timedelta(hours=hours)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr("core.lib.live._send", lambda topic, body: None)


@pytest.fixture
def ana(db):
    return make_user("ana", "engineer")


@pytest.fixture
def engineer(ana):
    return signed_in(ana)


@pytest.fixture
def viewer(db):
    return signed_in(make_user("vic", "viewer"))
