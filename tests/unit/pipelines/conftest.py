"""People, a fake Airflow, and messages that go nowhere: what every test of pipelines needs."""

import pytest
from django.contrib.auth.models import Group

from core.access.models import User
from pipelines import backfill_tasks, gateway, tasks
from tests.fakes.airflow import FakeAirflow
from tests.redis_fixtures import *  # noqa: F403


def person(username: str, role: str) -> User:
    user = User.objects.create_user(username)
    user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """Stands in for the broker: (task, id) of each message."""
    messages: list[tuple[str, str]] = []
    names = ("deliver_run", "deliver_note", "deliver_answer", "deliver_pause", "copy_log")
    for task in [*(getattr(tasks, name) for name in names), backfill_tasks.deliver_backfill]:

        def take(args=(), kwargs=None, name=task.name, **_options):
            messages.append((name.rpartition(".")[2], args[0]))

        monkeypatch.setattr(task, "apply_async", take)
    return messages


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """Topics that browsers would have heard of."""
    topics: list[str] = []
    monkeypatch.setattr("core.lib.live._send", lambda topic, _body: topics.append(topic))
    return topics


@pytest.fixture
def airflow(monkeypatch):
    fake = FakeAirflow()
    monkeypatch.setattr(
        gateway, "connect", lambda username="system:console", role="viewer": fake.as_user(username, role)
    )
    return fake


@pytest.fixture
def scientist(db):
    return person("ana", "scientist")


@pytest.fixture
def viewer(db):
    return person("vic", "viewer")


@pytest.fixture
def page(client, scientist):
    client.force_login(scientist)
    return client
