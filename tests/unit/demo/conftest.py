"""What tests of the demonstration share: waiting costs no time."""

import pytest

from console.demo import rest, scene, store, taking


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    for module in (rest, scene, store, taking):
        monkeypatch.setattr(module.time, "sleep", lambda _seconds: None)
