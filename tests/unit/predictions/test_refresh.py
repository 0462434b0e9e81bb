"""Champions come and go while calls are answered."""

import asyncio
import itertools
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest

from core.lib.errors import Conflict, Unavailable
from predictions.serving import callers, keeping, snapshot
from predictions.serving.files import ModelFiles
from predictions.serving.service import Service
from predictions.serving.snapshot import ChampionRef, LiveTokens
from scoring.check import Rows
from tests import champions
from tests.champions import ROW, FakeSource


def test_a_promotion_swaps_the_champion(call, running, source):
    source.promote("2", champions.packed(seed=1))
    running.refresher.refresh()
    assert call({"rows": [ROW]})[1]["version"] == "2"


def test_a_champion_that_is_not_what_was_checked_is_not_served(call, running, source):
    source.damaged.add("2")
    source.promote("2", champions.packed(seed=1))
    running.refresher.refresh()
    assert call({"rows": [ROW]})[1]["version"] == "1"
    assert "SHA-256" in running.readiness()["not_loaded"]["titanic"]


def test_a_champion_that_scores_its_own_rows_otherwise_is_not_served(call, running, source):
    one, other = champions.packed(), champions.packed(seed=1)
    source.promote("2", champions.Packed(one.spec_json, other.onnx, one.reference))
    running.refresher.refresh()
    assert call({"rows": [ROW]})[1]["version"] == "1"
    assert "differently" in running.readiness()["not_loaded"]["titanic"]


def test_a_restart_needs_neither_database_nor_mlflow(running, source, broker, tmp_path):
    source.is_away = True
    again = _restarted(source, tmp_path)
    assert again.readiness()["models"] == {"titanic": "1"}
    assert again.readiness()["is_ready"]
    assert again.callers.authenticate(f"Bearer {champions.KEY}".encode()).username == "ana"


def test_after_a_restart_the_older_champion_still_stands_in(running, source, tmp_path):
    source.damaged.add("2")
    source.promote("2", champions.packed(seed=1))
    running.refresher.refresh()
    again = _restarted(source, tmp_path)
    again.refresher.refresh()
    assert again.readiness()["models"] == {"titanic": "1"}


@pytest.fixture
def fresh(source, tmp_path, monkeypatch) -> Service:
    """A process without a disk that begins while the champion, version 2, is refused."""
    monkeypatch.setattr(keeping, "FIRST_WAIT_S", 0.05)
    source.damaged.add("2")
    source.promote("2", champions.packed(seed=1))
    made = Service(tmp_path / "fresh", source, "predictions")
    made.refresher.refresh()
    yield made
    made.refresher._champions.end(5)


def test_a_process_that_begins_without_a_disk_answers_with_the_one_before_too(fresh, source):
    fresh.refresher.refresh()
    assert fresh.readiness()["models"] == {"titanic": "1"}
    assert "SHA-256" in fresh.readiness()["not_loaded"]["titanic"]
    model, version, error, answers = source.noted[-1]
    assert (model, version, "SHA-256" in error, answers) == ("titanic", "2", True, "1")
    again = _restarted(source, fresh.refresher._tokens_path.parent)
    assert again.readiness()["models"] == {"titanic": "1"}


def test_the_champion_takes_its_place_once_it_can_be_loaded(fresh, source):
    fresh.refresher.refresh()
    source.damaged.clear()
    for _n in range(200):
        if fresh.readiness()["models"] == {"titanic": "2"}:
            break
        time.sleep(0.05)
    assert fresh.readiness()["models"] == {"titanic": "2"}
    assert fresh.readiness()["not_loaded"] == {}


def test_a_later_champion_takes_the_place_of_one_that_stands_in(fresh, source):
    fresh.refresher.refresh()
    source.promote("3", champions.packed())
    fresh.refresher.refresh()
    assert fresh.readiness()["models"] == {"titanic": "3"}


def test_a_champion_that_is_refused_is_told_as_such(fresh, source):
    """As one without a champion it would send people to promote what is promoted."""
    with pytest.raises(Unavailable, match=r"titanic is refused here, .* its SHA-256 is"):
        fresh.engine.champion("titanic")
    with pytest.raises(Conflict, match="no champion yet"):
        fresh.engine.champion("unfinished")


def test_a_champion_that_is_being_loaded_is_told_as_such(source, tmp_path):
    is_asked, is_let_go = threading.Event(), threading.Event()

    def onnx(ref):
        is_asked.set()
        assert is_let_go.wait(10)
        return champions.packed().onnx

    source.onnx = onnx
    made = Service(tmp_path / "fresh", source, "predictions")
    made.refresher.refresh_champions()
    assert is_asked.wait(10)
    with pytest.raises(Unavailable, match="titanic is being loaded"):
        made.engine.champion("titanic")
    is_let_go.set()
    made.refresher.refresh()
    assert made.readiness()["models"] == {"titanic": "1"}


def _restarted(source: FakeSource, folder) -> Service:
    again = Service(folder, source, "predictions")
    again.refresher.load_from_disk()
    return again


def test_a_damaged_file_on_disk_is_fetched_again(running, source, tmp_path):
    for path in tmp_path.glob("*.onnx"):
        path.write_bytes(b"damaged")
    again = Service(tmp_path, source, "predictions")
    again.refresher.refresh()
    assert again.readiness()["models"] == {"titanic": "1"}


def test_a_database_that_is_away_changes_nothing(call, running, source):
    source.is_away = True
    running.refresher.refresh()
    assert call({"rows": [ROW]})[0] == 200
    assert running.readiness()["source"] == "failing"


def test_tokens_that_called_are_noted(call, running, source):
    call({"rows": [ROW]})
    running.refresher.refresh()
    assert source.used == {3}


def test_a_model_without_champion_is_no_longer_served(call, running, source):
    source.without_champion.append("titanic")
    source.versions.clear()
    running.refresher.refresh()
    assert call({"rows": [ROW]})[0] == 409


async def test_no_call_fails_while_champions_are_swapped(running, source):
    """Calls go on in the loop while a thread loads one champion after another."""
    body = orjson.dumps({"rows": [ROW]})
    versions = set()
    made = [champions.packed(), champions.packed(seed=1)]

    def swap() -> None:
        for number, packed in zip(range(2, 12), itertools.cycle(made), strict=False):
            source.promote(str(number), packed)
            running.refresher.refresh()

    swapping = asyncio.create_task(asyncio.to_thread(swap))
    while not swapping.done():
        answer = await running.engine.predict(
            running.engine.champion("titanic"),
            lambda served: served.decoder.decode(body),
            champions.grant().caller,
            source="api",
        )
        versions.add(answer.version)
    await swapping
    assert len(versions) > 2


async def test_rows_are_scored_by_the_model_that_checked_them(running):
    served = running.engine.served["titanic"]
    rows = Rows([{**ROW, "Age": None}], [[]])
    scores = await served.score(rows)
    assert scores.labels == ["Did not survive"]


def test_files_that_no_champion_needs_are_removed(tmp_path):
    old, new = "a" * 64, "b" * 64
    for name in (old, new, "runners", "unanswered"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / f"{old}.onnx").write_bytes(b"x")
    now = datetime.now(UTC)
    ref = ChampionRef("titanic", "2", "r", new, "{}", serve_as="runner", reference_sha256="c", since=now)
    ModelFiles(tmp_path, FakeSource()).remove_all_but([ref])
    assert sorted(path.name for path in tmp_path.iterdir()) == [new, "runners", "unanswered"]


@pytest.mark.parametrize("set_back_s", [0, 86_400])
def test_a_clock_that_is_set_back_keeps_no_revoked_token_alive(running, source, monkeypatch, set_back_s):
    source.is_away = True
    running.refresher.refresh()
    assert running.callers.authenticate(f"Bearer {champions.KEY}".encode()).username == "ana"
    later_s = running.callers._max_stale_s + 1
    clock = SimpleNamespace(
        time=lambda: time.time() + later_s - set_back_s, monotonic=lambda: time.monotonic() + later_s
    )
    monkeypatch.setattr(callers, "time", clock)
    with pytest.raises(Unavailable):
        running.callers.authenticate(f"Bearer {champions.KEY}".encode())


@pytest.mark.parametrize(("ahead_s", "is_known"), [(-60, True), (60, False)])
def test_tokens_that_the_disk_has_from_the_future_count_as_too_old(
    source, tmp_path, running, ahead_s, is_known
):
    snapshot.write(tmp_path / "tokens.json", LiveTokens(time.time() + ahead_s, source.grants()))
    again = Service(tmp_path, source, "predictions")
    source.is_away = True
    again.refresher.load_from_disk()
    assert again.callers.is_too_old is not is_known
