"""A champion that no compiler could express: it answers from a sandboxed child."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from core.lib.errors import Conflict, InvalidRequest, Unavailable
from models_registry.digest import folder_sha256
from predictions import ingestion
from predictions.models import Prediction
from predictions.serving import files, original, served
from predictions.serving.callers import Caller
from predictions.serving.engine import Answer
from predictions.serving.original import OriginalScorer, run_folder
from predictions.serving.snapshot import ChampionRef
from scoring.runner_client import SOCKET, RunnerClient, RunnerUnavailable
from scoring.score import ModelFailure, Outcome, Scorer
from scoring.spec_reading import read_spec
from tests import champions
from tests.champions import ROW
from tests.trained import parquet
from tests.unit.scoring import fitted, gaps


class Originals:
    """A source of one model folder."""

    def __init__(self, packed: champions.Packed) -> None:
        self.packed = packed
        self.n_fetched = 0

    def folder(self, _ref: ChampionRef, target: Path) -> None:
        fitted.save(target, self.packed.estimator)
        self.n_fetched += 1

    def reference(self, _ref: ChampionRef) -> bytes:
        return self.packed.reference


@pytest.fixture
def loaded(tmp_path):
    packed = champions.packed()
    fitted.save(tmp_path / "model", packed.estimator)
    ref = champions.structs.replace(packed.ref(), serve_as="runner", sha256=folder_sha256(tmp_path / "model"))
    source = Originals(packed)
    found = served.load(ref, files.ModelFiles(tmp_path / "files", source), tmp_path / "files")
    yield found, source, ref, tmp_path
    found.stop(grace_s=0)


async def test_it_answers_as_the_compiled_one(loaded):
    found, _source, _ref, _folder = loaded
    scores = await found.score(found.decoder.decode_rows([ROW]))
    assert scores.labels == ["Did not survive"]
    explanation = await asyncio.to_thread(found.explain, found.reference[0])
    assert explanation.is_exact
    await asyncio.to_thread(found.stop, 0)
    assert not found.is_alive


async def test_a_dead_child_is_told_as_unavailable(loaded):
    found, _source, _ref, _folder = loaded
    found.scorer._process.stop()
    assert not found.is_alive
    with pytest.raises(Unavailable):
        await found.score(found.decoder.decode_rows([ROW]))


async def test_a_child_that_hangs_is_replaced_as_one_that_died(loaded, monkeypatch):
    found, _source, _ref, _folder = loaded
    await found.score(found.decoder.decode_rows([ROW]))
    assert found.is_alive
    monkeypatch.setattr(RunnerClient, "is_hung", True)
    assert not found.is_alive
    await asyncio.to_thread(found.stop, 0)  # which hangs up in this event loop


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [bool, float])
def test_classes_of_another_type_are_recorded_as_the_spec_has_them(running, broker, tmp_path, kind):
    packed = champions.packed(kind=kind)
    fitted.save(tmp_path / "model", packed.estimator)
    ref = champions.structs.replace(packed.ref(), serve_as="runner", sha256=folder_sha256(tmp_path / "model"))
    found = served.load(ref, files.ModelFiles(tmp_path / "files", Originals(packed)), tmp_path / "files")
    rows = found.decoder.decode_rows([ROW, ROW | {"Sex": "female"}])

    async def answer() -> Answer:
        try:
            return await running.engine.predict(found, lambda _served: rows, Caller(7, "ana"), source="api")
        finally:
            await asyncio.to_thread(found.stop, 0)

    answers = asyncio.run(answer()).predictions
    given = [one["value"] for one in answers]
    assert given == [0, 1]
    assert [type(value) for value in given] == [int, int]
    handled = ingestion.handle(ingestion.lines("predictions/0/0", broker.messages[0]))
    assert (handled.n_rows, handled.dead) == (2, [])
    for row, one in zip(Prediction.objects.order_by("row"), answers, strict=True):
        assert row.value == one["value"]
        assert row.probability == one["probabilities"][str(one["value"])] > 0.5


def failing_at(monkeypatch, classes: set[int], gone: str = "robot" + "!" * 1000) -> None:
    """The child fails on passengers of these classes."""
    predict = RunnerClient.predict

    async def fails(self, columns):
        if np.isin(columns["Pclass"], list(classes)).any():
            raise ModelFailure(f"ValueError: Found unknown categories ['{gone}']")
        return await predict(self, columns)

    monkeypatch.setattr(RunnerClient, "predict", fails)


@pytest.mark.parametrize(
    ("classes", "rows"), [([2], [0]), ([3] * 700 + [2] + [3] * 298 + [2], [700, 999]), ([2, 2], [0, 1])]
)
async def test_rows_that_the_model_fails_on_are_named(loaded, monkeypatch, classes, rows):
    failing_at(monkeypatch, {2})
    found, _source, _ref, _folder = loaded
    with pytest.raises(InvalidRequest, match="The model fails on these values: ValueError: Found") as told:
        await found.score(found.decoder.decode_rows([ROW | {"Pclass": one} for one in classes]))
    assert len(told.value.message) < 600
    assert told.value.errors == [{"row": row, "field": None, "message": told.value.message} for row in rows]
    await asyncio.to_thread(found.stop, 0)


async def test_of_many_rows_that_the_model_fails_on_the_first_are_named(loaded, monkeypatch):
    failing_at(monkeypatch, {2})
    found, _source, _ref, _folder = loaded
    with pytest.raises(InvalidRequest) as told:
        await found.score(found.decoder.decode_rows([ROW | {"Pclass": 2}] * 1000))
    assert [one["row"] for one in told.value.errors] == [*range(10), None]
    assert "may be more" in told.value.errors[-1]["message"]
    await asyncio.to_thread(found.stop, 0)


async def test_rows_that_fail_together_alone_are_not_named(loaded, monkeypatch):
    predict = RunnerClient.predict

    async def fails(self, columns):
        if len(columns["Pclass"]) == 2:
            raise ModelFailure("ValueError: two are too many")
        return await predict(self, columns)

    monkeypatch.setattr(RunnerClient, "predict", fails)
    found, _source, _ref, _folder = loaded
    with pytest.raises(InvalidRequest, match="two are too many") as told:
        await found.score(found.decoder.decode_rows([ROW] * 2))
    assert [one["row"] for one in told.value.errors] == [None]
    await asyncio.to_thread(found.stop, 0)


async def searched(found) -> tuple[list[int | None], str]:
    """Rows that are named of a thousand, and the last words."""
    with pytest.raises(InvalidRequest, match="two are too many") as told:
        await found.score(found.decoder.decode_rows([ROW] * 1000))
    return [one["row"] for one in told.value.errors], told.value.errors[-1]["message"]


@pytest.fixture
def lone(loaded, monkeypatch):
    """A child that bears one row at a time; how many rows it was asked for, call by call."""
    asked: list[int] = []

    async def fails(self, columns):
        asked.append(len(columns["Pclass"]))
        if asked[-1] > 1:
            raise ModelFailure("ValueError: two are too many")
        return Outcome(np.array([0]), np.array([[1.0, 0.0]]))

    monkeypatch.setattr(RunnerClient, "predict", fails)
    return loaded[0], asked


async def test_the_search_for_rows_ends_after_so_many_calls(lone):
    found, asked = lone
    rows, words = await searched(found)
    assert rows == [None, None]
    assert "may be more" in words
    assert len(asked) == 201  # the call itself and 200; to the end there would be 2,000


async def test_the_search_for_rows_ends_in_time(lone, monkeypatch):
    found, asked = lone
    monkeypatch.setattr(served, "SEARCH_TIMEOUT_S", 0.1)
    fails = RunnerClient.predict

    async def slow(self, columns):
        if asked:
            await asyncio.sleep(0.03)
        return await fails(self, columns)

    monkeypatch.setattr(RunnerClient, "predict", slow)
    rows, words = await searched(found)
    assert rows == [None, None]
    assert "may be more" in words
    assert len(asked) < 6


async def test_a_child_that_goes_away_ends_the_search(lone, monkeypatch):
    found, asked = lone
    fails = RunnerClient.predict

    async def dies(self, columns):
        if len(asked) == 3:
            raise RunnerUnavailable("There is no runner for this model.")
        return await fails(self, columns)

    monkeypatch.setattr(RunnerClient, "predict", dies)
    rows, words = await searched(found)
    assert rows == [None, None]
    assert "may be more" in words


async def test_a_compiled_model_is_searched_outside_the_event_loop(monkeypatch):
    packed = champions.packed()
    spec = read_spec(packed.spec_json)
    found = served.Served(packed.ref(), spec, Scorer.from_onnx(packed.onnx, spec), [])
    threads = []

    def fails(rows):
        threads.append(threading.get_ident())
        raise ModelFailure("ValueError: never")

    monkeypatch.setattr(found.scorer, "score_rows", fails)
    with pytest.raises(InvalidRequest) as told:
        await found.score(found.decoder.decode_rows([ROW] * 4))
    assert [one["row"] for one in told.value.errors] == [0, 1, 2, 3]
    assert len(threads) == 7  # all, two halves, four rows
    assert threading.get_ident() not in threads[1:]


@pytest.mark.parametrize("n_rows", [1, 2, 100])
async def test_what_the_machine_lacks_is_told_as_unavailable(monkeypatch, n_rows):
    packed = champions.packed()
    spec = read_spec(packed.spec_json)
    found = served.Served(packed.ref(), spec, Scorer.from_onnx(packed.onnx, spec), [ROW])

    class Broken:
        def run(self, *_args):
            raise MemoryError

    monkeypatch.setattr(found.scorer, "_session", Broken())
    with pytest.raises(Unavailable, match="MemoryError"):
        await found.score(found.decoder.decode_rows([ROW] * n_rows))
    with pytest.raises(Unavailable, match="MemoryError"):
        found.explain(found.reference[0])


async def test_a_row_that_cannot_be_explained_is_named(loaded, monkeypatch):
    failing_at(monkeypatch, {2})
    found, _source, _ref, _folder = loaded
    with pytest.raises(InvalidRequest, match="robot") as refused:
        await asyncio.to_thread(found.explain, ROW | {"Pclass": 2}, n_row=3)
    assert refused.value.errors[0]["row"] == 3
    found.reference = [ROW | {"Pclass": 2}, ROW | {"Pclass": 3}]
    explained = await asyncio.to_thread(found.explain, ROW | {"Pclass": 1})
    assert (explained.n_reference, explained.n_left_out) == (1, 1)
    found.reference = [ROW | {"Pclass": 2}]
    with pytest.raises(Conflict, match=r"is answered, but cannot be explained.*robot") as alone:
        await asyncio.to_thread(found.explain, ROW | {"Pclass": 1}, n_row=4)
    assert alone.value.errors[0]["row"] == 4


def test_its_files_are_fetched_once(loaded):
    _found, source, ref, folder = loaded
    again = served.load(ref, files.ModelFiles(folder / "files", source), folder / "again")
    again.stop(grace_s=0)
    assert source.n_fetched == 1


async def test_a_child_that_died_leaves_its_successor_alone(loaded):
    found, source, ref, folder = loaded
    found.scorer._process.stop()
    kept = files.ModelFiles(folder / "files", source)
    again = await asyncio.to_thread(served.load, ref, kept, folder / "files")
    try:
        await asyncio.to_thread(found.stop, 0)
        explanation = await asyncio.to_thread(again.explain, again.reference[0])
        assert explanation.is_exact
        assert (await again.score(again.decoder.decode_rows([ROW]))).labels == ["Did not survive"]
    finally:
        await asyncio.to_thread(again.stop, 0)
    assert list((folder / "files" / "runners").iterdir()) == []


def test_a_child_that_does_not_start_leaves_no_folder(tmp_path):
    (tmp_path / "model").mkdir()
    for _try in range(2):
        with pytest.raises(RunnerUnavailable, match="no MLflow model"):
            OriginalScorer(
                tmp_path / "model",
                read_spec(champions.packed().spec_json),
                run_folder(tmp_path, "0" * 64),
                missing_as={},
            )
    assert list((tmp_path / "runners").iterdir()) == []


HOLD = """
import sys
from pathlib import Path
from predictions.serving.original import _held
held = _held(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_folders_of_processes_that_are_gone_are_removed(tmp_path):
    """Whatever number a process has: in containers all have the same one."""
    runners = tmp_path / "runners"
    for name in ("1-abc-2", f"{os.getpid()}-abc-2", f"{os.getppid()}-abc-3"):
        (runners / name / "model").mkdir(parents=True)
    own, others = run_folder(tmp_path, "0" * 64), run_folder(tmp_path, "0" * 64)
    lock = original._held(own)
    command = [sys.executable, "-c", HOLD, str(others)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        original._sweep(runners)
        assert set(runners.iterdir()) == {own, others}
        other.kill()
    original._sweep(runners)
    assert set(runners.iterdir()) == {own}
    lock.close()
    original._sweep(runners)
    assert not list(runners.iterdir())


async def test_a_child_whose_socket_is_gone_is_replaced(loaded):
    """Nobody new reaches it, though it runs."""
    found, _source, _ref, _folder = loaded
    assert found.is_alive
    (found.scorer._folder / SOCKET).unlink()
    assert not found.is_alive


def test_the_child_ends_with_its_champion(loaded):
    found, _source, _ref, _folder = loaded
    found.stop(grace_s=0.1)
    assert found.is_alive  # calls under way still get their answers
    give_up_at = time.monotonic() + 10
    while found.is_alive and time.monotonic() < give_up_at:
        time.sleep(0.05)
    assert not found.is_alive


@pytest.mark.parametrize("kind", ["none", "nan"])
async def test_missing_text_reaches_it_as_training_had_it(tmp_path, kind):
    spec = gaps.spec_of("colour")
    rows = gaps.rows_of(spec)
    model = gaps.fit(spec, rows, {"colour": kind})
    fitted.save(tmp_path / "model", model)
    reference = parquet(gaps.reference_of(model, spec, rows, {"colour": kind}))
    packed = champions.Packed(spec.to_json().decode(), b"", reference, model)
    ref = champions.structs.replace(
        packed.ref(),
        serve_as="runner",
        sha256=folder_sha256(tmp_path / "model"),
        missing_as={"colour": kind},
    )
    files_here = files.ModelFiles(tmp_path / "files", Originals(packed))
    found = await asyncio.to_thread(served.load, ref, files_here, tmp_path / "files")
    try:
        gone, there = {"colour": None, "size": 0.5}, {"colour": "a", "size": 0.5}
        scores = await found.score(found.decoder.decode_rows([gone, there]))
        assert scores.values == [1, 0]
        assert scores.probabilities[0]["1"] > 0.99
    finally:
        await asyncio.to_thread(found.stop, 0)
    as_empty = champions.structs.replace(ref, missing_as={})
    with pytest.raises(Conflict, match="scores its own reference rows differently"):
        await asyncio.to_thread(served.load, as_empty, files_here, tmp_path / "other")
