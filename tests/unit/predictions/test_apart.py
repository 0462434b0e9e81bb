"""Tokens, champions and each model go round apart: what holds one up or breaks it is nobody else's.

Times are those of events: a call of the source is held until the test lets it go.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.db import InterfaceError, OperationalError

from core.lib.errors import Conflict, NotSignedIn, Unavailable
from predictions.serving import keeping, refresh
from predictions.serving.callers import Callers
from predictions.serving.deliveries import Deliveries
from predictions.serving.engine import Engine
from predictions.serving.files import ModelFiles
from predictions.serving.keeping import Keeper
from predictions.serving.record_writer import RecordWriter
from predictions.serving.refresh import Refresher
from predictions.serving.unanswered import Unanswered
from tests import champions
from tests.champions import KEY, FakeSource

LIMIT_S = 30.0
CLASSES = [
    Conflict,
    OSError,
    OperationalError,
    InterfaceError,
    ValueError,
    KeyError,
    AttributeError,
    RecursionError,
    MemoryError,
    asyncio.CancelledError,
    KeyboardInterrupt,
    SystemExit,
]


class HeldSource(FakeSource):
    """Calls named in `holds` ("grants", or the version whose file is asked for) wait; `raises` raise."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: dict[str, threading.Event] = {}
        self.raises: dict[str, BaseException] = {}
        self.asked: dict[str, threading.Event] = {}

    def hold(self, what: str) -> threading.Event:
        """It waits from now on; returns what is set once somebody does."""
        self.holds[what] = threading.Event()
        self.asked[what] = threading.Event()
        return self.asked[what]

    def let_go(self) -> None:
        for held in self.holds.values():
            held.set()

    def grants(self):
        self._meet("grants")
        return super().grants()

    def champions(self):
        self._meet("champions")
        return super().champions()

    def onnx(self, ref):
        self._meet(ref.version)
        return super().onnx(ref)

    def _meet(self, what: str) -> None:
        if what in self.holds:
            self.asked[what].set()
            assert self.holds[what].wait(LIMIT_S)
        if what in self.raises:
            raise self.raises[what]


class Serving:
    """A refresher whose threads turn only when they are woken; `until` waits for news of any kind."""

    def __init__(self, folder, source: HeldSource) -> None:
        self.source = source
        self._news = threading.Condition()
        self.callers = Callers(3600)
        self.engine = Engine(RecordWriter(Deliveries("predictions"), unanswered(folder)), max_in_flight=1)
        self.refresher = Refresher(self.engine, self.callers, source, folder, unanswered(folder))
        for of, name in ((self.callers, "replace"), (source, "note_serving")):
            setattr(of, name, self._telling(getattr(of, name)))

    def start(self) -> None:
        self.refresher.start()
        found = self.refresher._champions
        found.on_change = self._telling(found.on_change)

    def _telling(self, function: Callable) -> Callable:
        def call(*args, **kwargs):
            try:
                return function(*args, **kwargs)
            finally:
                with self._news:
                    self._news.notify_all()

        return call

    def until(self, is_so: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(is_so, LIMIT_S)

    def wake(self, *names: str) -> None:
        self.refresher._wake(*names)

    def version(self, model: str = "titanic") -> str:
        return self.engine.served[model].ref.version

    def is_known(self) -> bool:
        try:
            self.callers.authenticate(f"Bearer {KEY}".encode())
        except NotSignedIn:
            return False
        return True


def unanswered(folder) -> Unanswered:
    return Unanswered(folder / "unanswered", "predictions")


@pytest.fixture
def serving(tmp_path, monkeypatch):
    """Two models answer; nothing is tried again within this test, and nothing is asked unless woken."""
    monkeypatch.setattr(refresh, "EVERY_S", 3600)
    monkeypatch.setattr(keeping, "FIRST_WAIT_S", 3600)
    source = HeldSource()
    source.promote("1", champions.packed())
    source.promote("11", champions.packed(seed=1), model="other")
    made = Serving(tmp_path, source)
    made.start()
    made.until(lambda: made.engine.served.keys() == {"titanic", "other"})
    yield made
    source.let_go()
    made.refresher.stop()


def test_a_revoked_token_is_refused_while_a_champion_is_being_loaded(serving, record_property):
    is_loading = serving.source.hold("2")
    serving.source.promote("2", champions.packed(seed=2))
    serving.wake("champions")
    assert is_loading.wait(LIMIT_S)
    assert serving.is_known()
    serving.source.tokens = []
    revoked_at = time.perf_counter()
    serving.wake("tokens")
    serving.until(lambda: not serving.is_known())
    record_property("revocation_to_refusal_s", time.perf_counter() - revoked_at)
    assert serving.version() == "1"  # it is loading still


def test_another_model_is_swapped_while_a_champion_is_being_loaded(serving):
    is_loading = serving.source.hold("2")
    serving.source.promote("2", champions.packed(seed=2))
    serving.source.promote("12", champions.packed(), model="other")
    serving.wake("champions")
    assert is_loading.wait(LIMIT_S)
    serving.until(lambda: serving.version("other") == "12")
    assert serving.version() == "1"
    serving.source.let_go()
    serving.until(lambda: serving.version() == "2")


@pytest.mark.parametrize("what", ["grants", "champions"])
def test_one_question_that_is_not_answered_holds_up_no_other(serving, what):
    is_asked = serving.source.hold(what)
    serving.wake("tokens", "champions")
    assert is_asked.wait(LIMIT_S)
    serving.source.tokens = []
    serving.source.promote("12", champions.packed(), model="other")
    serving.wake("tokens", "champions")
    if what == "grants":
        serving.until(lambda: serving.version("other") == "12")
    else:
        serving.until(lambda: not serving.is_known())


@pytest.mark.parametrize("error", CLASSES)
def test_whatever_a_champion_raises_is_its_own(serving, error):
    serving.source.raises["2"] = error("made up")
    serving.source.promote("2", champions.packed(seed=2))
    serving.source.promote("12", champions.packed(), model="other")
    serving.wake("champions")
    serving.until(lambda: serving.version("other") == "12" and "titanic" in serving.refresher.problems)
    assert "made up" in serving.refresher.problems["titanic"]
    assert serving.version() == "1"  # the one before goes on
    serving.source.tokens = []
    serving.wake("tokens")
    serving.until(lambda: not serving.is_known())
    serving.source.promote("3", champions.packed(seed=2))
    serving.wake("champions")
    serving.until(lambda: serving.version() == "3")  # at once: its entry in the ledger is another
    assert serving.refresher.problems == {}


@pytest.mark.parametrize("error", CLASSES)
@pytest.mark.parametrize("what", ["grants", "champions"])
def test_whatever_a_question_raises_it_is_asked_again(serving, what, error):
    serving.source.raises[what] = error("made up")
    serving.refresher._rounds[what if what == "champions" else "tokens"].has_turned.clear()
    serving.wake("tokens", "champions")
    assert serving.refresher._rounds[what if what == "champions" else "tokens"].has_turned.wait(LIMIT_S)
    assert serving.is_known()
    assert serving.version() == "1"
    serving.source.raises.clear()
    serving.source.tokens = []
    serving.source.promote("2", champions.packed(seed=2))
    serving.wake("tokens", "champions")
    serving.until(lambda: serving.version() == "2" and not serving.is_known())


def test_a_way_back_while_the_new_one_is_being_loaded_needs_no_loading(serving):
    others = set(threading.enumerate())
    is_loading = serving.source.hold("2")
    serving.source.promote("2", champions.packed(seed=2))
    serving.wake("champions")
    assert is_loading.wait(LIMIT_S)
    (loading,) = [one for one in set(threading.enumerate()) - others if one.name == "champion-titanic-v2"]
    serving.source.promote("1", champions.packed())
    serving.source.promote("12", champions.packed(), model="other")  # so that the round is seen to be over
    serving.wake("champions")
    serving.until(lambda: serving.version("other") == "12")
    serving.source.let_go()
    loading.join(LIMIT_S)
    assert serving.version() == "1"  # what was loaded in the end is wanted by nobody


def test_a_way_back_to_files_on_disk_waits_for_nobody(serving):
    serving.source.promote("2", champions.packed(seed=2))
    serving.wake("champions")
    serving.until(lambda: serving.version() == "2")
    is_loading = serving.source.hold("3")
    serving.source.promote("3", champions.packed(seed=3))
    serving.wake("champions")
    assert is_loading.wait(LIMIT_S)
    serving.source.raises["1"] = Unavailable("MLflow is away")
    serving.source.promote("1", champions.packed())
    serving.wake("champions")
    serving.until(lambda: serving.version() == "1")


def test_a_beginning_from_disk_waits_for_no_file_that_is_not_there(serving, tmp_path):
    for path in tmp_path.glob("*.onnx"):
        if path.stem == champions.packed().ref().sha256:
            path.unlink()
    is_loading = serving.source.hold("1")
    again = Serving(tmp_path, serving.source)
    began = time.perf_counter()
    again.start()
    assert time.perf_counter() - began < refresh.BEGIN_S
    assert is_loading.wait(LIMIT_S)
    assert again.is_known()
    assert again.version("other") == "11"
    serving.source.let_go()
    again.until(lambda: again.engine.served.keys() == {"titanic", "other"})
    again.refresher.stop()


def test_a_beginning_that_breaks_ends_no_thread(serving, tmp_path, monkeypatch):
    monkeypatch.setattr("predictions.serving.snapshot.read", lambda _path, _kind: 1 / 0)
    again = Serving(tmp_path, serving.source)
    again.start()
    assert again.is_known()
    again.refresher.stop()


def test_tries_become_rarer(tmp_path):
    class Counting(threading.Event):
        waits: list[float] = []

        def wait(self, timeout=None):
            self.waits.append(timeout)
            if len(self.waits) == 9:
                self.set()
            return self.is_set()

    source, errors = HeldSource(), []
    ref = source.promote("1", champions.packed())
    source.raises["1"] = Unavailable("MLflow is away")

    def fail(_keeper, error):
        errors.append(error)

    keeper = Keeper(ref, ModelFiles(tmp_path, source), tmp_path, take=lambda *_: True, fail=fail)
    keeper._is_over = Counting()
    keeper._run()
    assert Counting.waits == [3, 6, 12, 24, 48, 96, 192, 240, 240]
    assert errors == ["MLflow is away"] * 9


def test_one_whose_process_ends_is_loaded_again(tmp_path, monkeypatch):
    """And what it left behind goes first: the next one has the same folder."""
    monkeypatch.setattr(keeping, "FIRST_WAIT_S", 0)
    monkeypatch.setattr(keeping, "LOOK_EVERY_S", 0)
    source, told = HeldSource(), []
    ref = source.promote("1", champions.packed())

    def load(*_args):
        told.append("loaded")
        is_last = told.count("loaded") == 3
        stop = lambda grace_s: told.append("stopped")  # noqa: E731
        return SimpleNamespace(has_process=True, is_alive=is_last, stop=stop)

    def take(keeper, found):
        if found.is_alive:
            keeper.release()
            keeper._is_urgent.set()
        return True

    monkeypatch.setattr(keeping.served, "load", load)
    keeper = Keeper(
        ref, ModelFiles(tmp_path, source), tmp_path, take=take, fail=lambda *_: told.append("told")
    )
    keeper._run()
    assert told == ["loaded", "told", "stopped", "loaded", "told", "stopped", "loaded", "stopped"]


def test_what_cannot_be_served_is_told_and_taken_back(serving):
    serving.source.damaged.add("2")
    serving.source.promote("2", champions.packed(seed=2))
    serving.wake("champions")
    serving.until(lambda: any(error for _model, _version, error, _answers in serving.source.noted))
    model, version, error, answers = serving.source.noted[-1]
    assert (model, version, answers) == ("titanic", "2", "1")
    assert "SHA-256" in error
    serving.source.promote("3", champions.packed(seed=3))
    serving.wake("champions")
    serving.until(lambda: serving.source.noted[-1] == ("titanic", "3", "", ""))


def test_what_the_registry_did_not_hear_is_told_in_the_next_round(serving, monkeypatch):
    heard, serving.source.noted = serving.source.note_serving, []
    has_failed = threading.Event()

    def away(*_args):
        has_failed.set()
        raise OperationalError("the database is away")

    serving.source.note_serving = away
    serving.source.damaged.add("2")
    serving.source.promote("2", champions.packed(seed=2))
    serving.wake("champions")
    assert has_failed.wait(LIMIT_S)
    serving.source.note_serving = heard
    serving.wake("champions")
    serving.until(lambda: any(one[:2] == ("titanic", "2") and one[2] for one in serving.source.noted))
