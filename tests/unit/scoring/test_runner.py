"""The runner: a real sandboxed child over its real socket, and what happens when it dies or fails."""

import asyncio
import threading
import time

import msgspec
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from scoring import features, frames, runner_client, sandbox
from scoring.runner import Runner
from scoring.runner_client import RunnerClient, RunnerProcess, RunnerUnavailable
from scoring.score import ModelFailure, Outcome
from tests.unit.scoring import fitted, specs


@pytest.fixture
def folder(tmp_path):
    """A folder as deep as folders get, with a model that ONNX does not express."""
    deep = tmp_path / ("a folder with spaces " * 5)
    spec, rows = specs.titanic(), fitted.passengers()
    model = fitted.pipeline(spec, rows, HistGradientBoostingClassifier(max_iter=5, random_state=1))
    fitted.save(deep / "model", model)
    (deep / "spec.json").write_bytes(spec.to_json())
    return deep


async def test_runner_scores_as_the_original_and_ends(folder):
    spec, rows = specs.titanic(), fitted.passengers()
    process = await asyncio.to_thread(RunnerProcess.start, folder)
    client = RunnerClient(folder, spec)
    try:
        scores = await client.score(features.frame(spec, rows))
        model = fitted.pipeline(spec, rows, HistGradientBoostingClassifier(max_iter=5, random_state=1))
        expected = model.predict_proba(features.table(spec, rows))[:, 1]
        np.testing.assert_allclose([shares["1"] for shares in scores.probabilities], expected, atol=1e-6)
        alone = await client.score_rows([specs.titanic_row(Age=None)])
        assert alone.labels == ["Did not survive"]
        assert process.isolation == sandbox.isolation()
        process.stop()
        assert not process.is_alive
        with pytest.raises(RunnerUnavailable):
            await client.score_rows([specs.titanic_row()])
        again = await asyncio.to_thread(RunnerProcess.start, folder)
        assert (await client.score_rows([specs.titanic_row()])).values == [0]
        again.stop()
    finally:
        process.stop()
        await client.close()


def test_runner_without_a_model_says_why(tmp_path):
    (tmp_path / "spec.json").write_bytes(specs.titanic().to_json())
    with pytest.raises(RunnerUnavailable, match="is no MLflow model"):
        RunnerProcess.start(tmp_path)


class Slow:
    """A model that takes its time, and fails on passengers of a hundred years."""

    spec = specs.titanic()
    n_calls = 0

    def predict(self, columns):
        self.n_calls += 1
        time.sleep(0.02)
        if np.any(columns["Age"] == 100):
            raise RuntimeError("too old")
        is_old = columns["Age"] > 40
        return Outcome(is_old.astype(int), np.column_stack([~is_old, is_old]).astype(float))


@pytest.fixture
async def slow(tmp_path):
    runner = Runner(Slow())
    task = asyncio.create_task(runner.serve(runner_client._listener(tmp_path)))
    client = RunnerClient(tmp_path, Slow.spec)
    yield runner, client
    await client.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_requests_that_wait_are_answered_together_each_with_its_own(slow):
    runner, client = slow
    ages = list(range(0, 100))
    scores = await asyncio.gather(*(client.score_rows([specs.titanic_row(Age=age)]) for age in ages))
    assert [answer.values[0] for answer in scores] == [int(age > 40) for age in ages]
    assert runner._model.n_calls <= 5  # a hundred calls of 20 ms, in a few


async def test_failure_of_the_model_is_told_and_the_next_rows_are_answered(slow):
    _, client = slow
    with pytest.raises(ModelFailure, match="RuntimeError: too old"):
        await client.score_rows([specs.titanic_row(Age=100)])
    assert (await client.score_rows([specs.titanic_row(Age=50)])).values == [1]


async def test_a_row_that_the_model_cannot_bear_fails_alone(slow):
    _, client = slow
    ages = [*range(20, 26), 100, *range(60, 66)]
    calls = (client.score_rows([specs.titanic_row(Age=age)]) for age in ages)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = answers.pop(6)
    assert isinstance(refused, ModelFailure)
    assert [answer.values for answer in answers] == [[0]] * 6 + [[1]] * 6


class Weighed(Slow):
    """A slow model that says how many rows it was asked at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, columns):
        self.asked.append(len(columns["Age"]))
        return super().predict(columns)


@pytest.fixture
async def weighed(slow, monkeypatch):
    runner, client = slow
    model = Weighed()
    monkeypatch.setattr(runner, "_model", model)
    return model, client


async def test_a_large_call_goes_in_pieces_and_small_ones_get_in_between(weighed):
    model, client = weighed
    ages = [n % 80 for n in range(5_200)]  # none of a hundred years
    rows = [specs.titanic_row(Age=age) for age in ages]
    large = asyncio.create_task(client.score_rows(rows))
    await asyncio.sleep(0.01)
    assert (await client.score_rows([specs.titanic_row(Age=50)])).values == [1]
    assert not large.done()
    scores = await large
    assert scores.values == [int(age > 40) for age in ages]
    assert [shares["1"] for shares in scores.probabilities] == scores.values
    assert max(model.asked) <= 500
    assert sum(model.asked) == 5_201


async def test_calls_are_joined_up_to_a_piece_and_none_is_lost(weighed):
    model, client = weighed
    calls = [[specs.titanic_row(Age=age)] * 200 for age in (20, 50, 20, 50, 20, 50)]
    answers = await asyncio.gather(*(client.score_rows(rows) for rows in calls))
    assert [answer.values for answer in answers] == [[0] * 200, [1] * 200] * 3
    assert model.asked in ([200, 400, 400, 200], [400, 400, 400])


async def test_a_call_in_pieces_waits_no_longer_than_one(weighed, monkeypatch):
    model, client = weighed
    monkeypatch.setattr(frames, "ANSWER_TIMEOUT_S", 0.1)
    with pytest.raises(RunnerUnavailable):
        await client.score_rows([specs.titanic_row(Age=50)] * 10_000)  # 20 pieces of 20 ms
    await asyncio.sleep(0.1)
    assert len(model.asked) < 10


class Stuck:
    """A model that answers once it is let go; what it was asked stays."""

    spec = specs.titanic()

    def __init__(self) -> None:
        self.goes = threading.Event()
        self.asked: list[float] = []

    def predict(self, columns):
        self.asked += columns["Age"].tolist()
        self.goes.wait(10)
        n_rows = len(columns["Age"])
        return Outcome(np.zeros(n_rows, int), np.column_stack([np.ones(n_rows), np.zeros(n_rows)]))


@pytest.fixture
async def stuck(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "ANSWER_TIMEOUT_S", 0.2)
    monkeypatch.setattr(runner_client, "HUNG_AFTER_S", 0.6)
    model = Stuck()
    task = asyncio.create_task(Runner(model).serve(runner_client._listener(tmp_path)))
    client = RunnerClient(tmp_path, Stuck.spec)
    yield model, client
    model.goes.set()
    await client.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ask(client: RunnerClient, age: int) -> object:
    (answer,) = await asyncio.gather(client.score_rows([specs.titanic_row(Age=age)]), return_exceptions=True)
    return answer


async def test_rows_that_nobody_waits_for_any_more_are_not_scored(stuck):
    model, client = stuck
    for age in (1, 2, 3):
        assert isinstance(await ask(client, age), RunnerUnavailable)
    model.goes.set()
    assert (await ask(client, 4)).values == [0]
    assert model.asked == [1, 4]


async def test_runner_that_answers_nobody_hangs_while_somebody_waits(stuck):
    model, client = stuck
    found = []
    for age in range(4):
        waits = asyncio.create_task(ask(client, age))
        await asyncio.sleep(0.1)
        found.append(client.is_hung)
        await waits
    assert found == [False, False, False, True]  # after 0.1, 0.3, 0.5 and 0.7 s
    assert not client.is_hung, "nobody waits"
    model.goes.set()
    assert (await ask(client, 5)).values == [0]
    model.goes.clear()
    waits = asyncio.create_task(ask(client, 6))
    await asyncio.sleep(0.1)
    assert not client.is_hung, "it has answered meanwhile"
    await waits


async def test_rows_that_do_not_fit_the_spec_are_refused(slow, tmp_path):
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "runner.sock"))
    frames.write(writer, frames.Request(7, 3, b"\0\0\0\0", [["x"]]))
    reply = msgspec.msgpack.decode(await frames.read(reader), type=frames.Reply)
    assert reply.id == 7
    assert "do not fit the spec" in reply.error
    writer.write(b"\xff\xff\xff\xff")
    reply = msgspec.msgpack.decode(await frames.read(reader), type=frames.Reply)
    assert "over the limit" in reply.error
    assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), RunnerUnavailable),
        (OSError("No space left on device"), RunnerUnavailable),
        (RuntimeError("can't start new thread"), RunnerUnavailable),
        (ValueError("Found unknown categories"), ModelFailure),
    ],
)
async def test_what_the_machine_lacks_is_no_fault_of_the_row(slow, monkeypatch, error, kind):
    runner, client = slow

    def fails(_columns):
        raise error

    monkeypatch.setattr(runner._model, "predict", fails)
    with pytest.raises(kind, match=type(error).__name__):
        await client.score_rows([specs.titanic_row(Age=50)])
