"""A model, a broker in memory and a folder of this test's own for files of rows."""

from collections.abc import Callable
from typing import Any

import pytest

from predictions.batch_models import PredictionBatch
from predictions.batches import actions, running
from predictions.serving.deliveries import Deliveries
from tests.people import make_user

HEADER = "Pclass,Sex,Age,SibSp,Parch,Fare,Embarked"


def csv_of(n_rows: int, *odd: str) -> bytes:
    """So many rows that can be predicted, each of another age, then the odd ones."""
    rows = [f"3,male,{20 + n % 60},1,0,7.25,S" for n in range(n_rows)]
    return "\n".join([HEADER, *rows, *odd, ""]).encode()


@pytest.fixture
def ana(db):
    return make_user("ana", "predictor")


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.CONSOLE_VAR_DIR = tmp_path


@pytest.fixture
def bring(running, ana) -> Callable[..., PredictionBatch]:
    """Have a file predicted by whoever is champion."""

    def brought(
        content: bytes, *, by: Any = None, name: str = "people.csv", key: str = ""
    ) -> PredictionBatch:
        served = running.engine.champion("titanic")
        return actions.start_batch(served, actions.Upload(name, iter([content]), key), by=by or ana).batch

    return brought


@pytest.fixture
def worker(source, broker, monkeypatch) -> Callable[[PredictionBatch], PredictionBatch]:
    """Gives a batch one slice; returns it as it is then."""
    monkeypatch.setattr(running, "ConsoleSource", lambda: source)
    monkeypatch.setattr(running, "Deliveries", lambda topic: Deliveries(topic, make=lambda: broker))

    def work(batch: PredictionBatch) -> PredictionBatch:
        running.work(str(batch.pk))
        return PredictionBatch.objects.get(pk=batch.pk)

    return work
