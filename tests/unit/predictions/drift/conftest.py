"""A registry whose files are in memory, and workers that do not run by themselves."""

import pytest

from core.lib.errors import Unavailable
from predictions import tasks
from tests.unit.scoring.drift.made import REFERENCE_FILE


class Files:
    """What MLflow would hand out. is_away: it does not answer."""

    def __init__(self) -> None:
        self.content = REFERENCE_FILE
        self.is_away = False
        self.n_read = 0

    def champion_reference(self, _champion: object) -> bytes:
        self.n_read += 1
        if self.is_away:
            raise Unavailable("MLflow does not answer.", service="mlflow")
        return self.content


@pytest.fixture
def files(monkeypatch) -> Files:
    made = Files()
    monkeypatch.setattr("models_registry.queries.champion_reference", made.champion_reference)
    return made


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """Ids of the watches that were sent to be judged."""
    ids: list[int] = []
    monkeypatch.setattr(tasks.judge_windows, "apply_async", lambda args, **_options: ids.append(*args))
    monkeypatch.setattr(tasks.judge_windows, "delay", ids.append)
    return ids
