"""People, a fake MLflow, and messages that go nowhere: what every test of the registry needs."""

import pytest

from models_registry import gateway, tasks
from tests.fakes.mlflow import FakeMlflow
from tests.registry import make_user


class Sent:
    """Stands in for the broker: remembers what was sent to whom."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    def taker(self, task: str):
        """An `apply_async` that only takes note."""
        return lambda args=(), kwargs=None, **_options: self.messages.append((task, args[0]))

    def to(self, task: str) -> list[str]:
        """Ids sent to a task, in order."""
        return [id_ for name, id_ in self.messages if name == task]


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    messages = Sent()
    for name in ("run_gate", "deliver_alias"):
        monkeypatch.setattr(getattr(tasks, name), "apply_async", messages.taker(name))
    return messages


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """No Redis: what would be said to browsers and to serving is not said."""
    monkeypatch.setattr("core.lib.live._send", lambda topic, body: None)
    monkeypatch.setattr("models_registry.ledger._wake_serving", lambda model_name: None)


@pytest.fixture(autouse=True)
def _files_are_intact(monkeypatch):
    """Rows of these tests have no files. Modules that have some put the real check back by this name."""
    monkeypatch.setattr("models_registry.intact.check", lambda *_args, **_values: None)


@pytest.fixture
def mlflow(monkeypatch):
    fake = FakeMlflow()
    monkeypatch.setattr(gateway, "connect", lambda: fake)
    return fake


@pytest.fixture
def scientist(db):
    return make_user("ana", "scientist")


@pytest.fixture
def approver(db):
    return make_user("bert", "approver")


@pytest.fixture
def admin(db):
    return make_user("carla", "admin")


@pytest.fixture
def engineer(db):
    return make_user("dora", "engineer")
