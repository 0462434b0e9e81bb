"""The background thread that keeps champions and tokens current, from the database or else from disk.

It wakes at Redis messages on `champions` and `tokens` and at a slow pace besides, should one be lost. No
request waits for it: it loads, verifies and tests a champion first and then swaps one reference.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis
import structlog
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from msgspec import structs

from core.lib import redis as console_redis
from core.lib.errors import ConsoleError
from predictions.serving import metrics, served, snapshot
from predictions.serving.callers import Callers
from predictions.serving.engine import Engine
from predictions.serving.files import ModelFiles
from predictions.serving.snapshot import ChampionRef, Snapshot
from predictions.serving.sources import NoSource, Source
from predictions.serving.unanswered import Unanswered

log = structlog.get_logger(__name__)

EVERY_S = 3.0
BEGIN_S = 10.0
MARKERS_EVERY_S = 10.0
CHANNELS = ("champions", "tokens")
_FAILURES = (ConsoleError, DatabaseError, OSError, ImproperlyConfigured)


@dataclass
class Freshness:
    """What /readyz tells. problems: by model, why its newest champion is not the one that answers."""

    source_error: str = ""
    problems: dict[str, str] = field(default_factory=dict)


class Refresher:
    """Brings `engine` and `callers` up to date."""

    def __init__(
        self, engine: Engine, callers: Callers, source: Source, folder: Path, unanswered: Unanswered
    ) -> None:
        self.freshness = Freshness()
        self._engine = engine
        self._callers = callers
        self._source = source
        self._folder = folder
        self._files = ModelFiles(folder, source)
        self._snapshot_path = folder / "state.json"
        self._unanswered = unanswered
        self._kept: list[ChampionRef] = []
        self._stop = threading.Event()
        self._has_begun = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Keep up in a thread; return once disk, or else the database, has been asked, or after a while."""
        self._stop.clear()
        self._has_begun.clear()
        self._thread = threading.Thread(target=self._run, name="serving-refresh", daemon=True)
        self._thread.start()
        self._has_begun.wait(BEGIN_S)

    def stop(self, timeout_s: float = 5) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        for model in self._engine.served.values():
            model.stop(grace_s=0)

    def load_from_disk(self) -> bool:
        """Needs neither the database nor MLflow; whether there was anything."""
        state = snapshot.read(self._snapshot_path)
        if state is not None:
            self._take_over(state, ModelFiles(self._folder, NoSource()))
        return state is not None

    def refresh(self) -> None:
        """Ask the database once. What it cannot tell stays as it was."""
        used = self._callers.take_used()
        try:
            if used:
                self._source.note_used(used)
            state = Snapshot(
                as_of=time.time(),
                champions=self._source.champions(),
                model_names=self._source.model_names(),
                grants=self._source.grants(),
            )
        except _FAILURES as error:
            self._note_source_error(str(error))
            return
        self._note_source_error("")
        self._take_over(state, self._files)
        self._keep(state)

    def _take_over(self, state: Snapshot, files: ModelFiles) -> None:
        self._callers.replace(state.grants, as_of=state.as_of)
        self._engine.model_names = frozenset(state.model_names)
        current = self._engine.served
        wanted = {ref.model: self._current_or_new(ref, current, files) for ref in state.champions}
        replaced = [old for model, old in current.items() if wanted.get(model) is not old]
        self._engine.served = {model: found for model, found in wanted.items() if found is not None}
        self.freshness.problems = {
            model: why for model, why in self.freshness.problems.items() if model in wanted
        }
        for old in replaced:
            old.stop()

    def _current_or_new(
        self, ref: ChampionRef, current: dict[str, served.Served], files: ModelFiles
    ) -> served.Served | None:
        """The champion, loaded if need be; the one before while the new one cannot be loaded."""
        serving = current.get(ref.model)
        if serving is not None and serving.ref == ref and serving.is_alive:
            return serving
        try:
            fresh = served.load(ref, files, self._folder)
        except _FAILURES as error:
            if self.freshness.problems.get(ref.model) != str(error):
                log.error(
                    "serving.champion_not_loaded", model=ref.model, version=ref.version, error=str(error)
                )
            self.freshness.problems[ref.model] = str(error)
            return serving
        self.freshness.problems.pop(ref.model, None)
        log.info("serving.champion_loaded", model=ref.model, version=ref.version, sha256=ref.sha256)
        return fresh

    def _keep(self, state: Snapshot) -> None:
        """Write down what serves: an older champion goes on standing in for one that cannot load."""
        serving = {model: found.ref for model, found in self._engine.served.items()}
        champions = [serving.get(ref.model, ref) for ref in state.champions]
        try:
            snapshot.write(self._snapshot_path, structs.replace(state, champions=champions))
            if self._kept not in ([], champions):
                self._files.remove_all_but(champions)
        except OSError as error:
            log.error("serving.snapshot_not_written", error=str(error))
        self._kept = champions

    def _note_source_error(self, error: str) -> None:
        if error and not self.freshness.source_error:
            log.warning("serving.refresh_failed", error=error)
        if not error and self.freshness.source_error:
            log.info("serving.refresh_recovered")
        self.freshness.source_error = error

    def _run(self) -> None:
        markers = _Every(MARKERS_EVERY_S, self._unanswered.send)
        try:
            # Here, not in `start`: a runner's process dies with the thread that started it.
            if not self.load_from_disk():
                self.refresh()
        except Exception:
            log.exception("serving.begin_broken")  # the rounds that follow may mend it
        finally:
            connection.close()
            self._has_begun.set()
        with _Wakeups() as wakeups:
            while not self._stop.is_set():
                try:
                    self.refresh()
                    markers.run_if_due()
                    metrics.write(self._engine.in_flight)
                except Exception:
                    log.exception("serving.refresh_broken")  # what is loaded goes on answering
                finally:
                    connection.close()
                wakeups.wait(EVERY_S, self._stop)


class _Every:
    """Calls a function at most once in so many seconds."""

    def __init__(self, seconds: float, function: Callable[[], object]) -> None:
        self._seconds = seconds
        self._function = function
        self._last = 0.0

    def run_if_due(self) -> None:
        if time.monotonic() - self._last >= self._seconds:
            self._function()
            self._last = time.monotonic()


class _Wakeups:
    """Waits for a message on one of the channels; without Redis it merely waits."""

    def __init__(self) -> None:
        self._pubsub: redis.client.PubSub | None = None

    def __enter__(self) -> "_Wakeups":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._pubsub is not None:
            self._pubsub.close()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return at the first message, or after `seconds`."""
        deadline = time.monotonic() + seconds
        try:
            while (left := deadline - time.monotonic()) > 0 and not stop.is_set():
                if self._subscribed().get_message(timeout=min(left, 0.5)) is not None:
                    return
        except (redis.RedisError, OSError):
            self._pubsub = None
            stop.wait(max(0.0, deadline - time.monotonic()))

    def _subscribed(self) -> redis.client.PubSub:
        if self._pubsub is None:
            pubsub = console_redis.client().pubsub(ignore_subscribe_messages=True)
            pubsub.subscribe(*CHANNELS)
            self._pubsub = pubsub
        return self._pubsub
