"""Who is to answer, as the ledger says, and who does: each model with a keeper of its own.

Where a champion cannot be loaded the one before it answers: it goes on, and a process that began since loads
it for as long.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from core.lib.aside import in_words
from predictions.serving import snapshot
from predictions.serving.engine import Engine
from predictions.serving.files import ModelFiles
from predictions.serving.keeping import Keeper
from predictions.serving.served import Served
from predictions.serving.snapshot import ChampionRef, Crowned
from predictions.serving.sources import Source

log = structlog.get_logger(__name__)

# The registry forgets what it does not hear again.
SAY_AGAIN_S = 240.0


class Champions:
    """Brings `engine` up to date. problems: by model, why its newest champion is not the one that answers."""

    def __init__(self, engine: Engine, source: Source, folder: Path) -> None:
        self.problems: dict[str, str] = {}
        self.on_change: Callable[[], None] = lambda: None
        self._engine = engine
        engine.why_away = self._why_away
        self._source = source
        self._folder = folder
        self._files = ModelFiles(folder, source)
        self._path = folder / "champions.json"
        self._lock = threading.RLock()
        self._wanted: dict[str, Keeper] = {}
        self._serving: dict[str, Keeper] = {}
        self._stand_ins: dict[str, Keeper] = {}
        self._before: dict[str, ChampionRef] = {}
        self._kept: Crowned | None = None
        self._said: dict[str, tuple[tuple[ChampionRef, str, ChampionRef | None], float]] = {}

    # --- the rounds: ask, want, write down, tell

    def load_from_disk(self) -> bool:
        """Needs neither the database nor MLflow; whether there was anything."""
        kept = snapshot.read(self._path, Crowned)
        if kept is not None:
            self._engine.model_names = frozenset(kept.model_names)
            self._before = {ref.model: ref for ref in kept.before}
            self._want(kept.champions)
        return kept is not None

    def refresh(self) -> None:
        """Ask the ledger once; what it cannot tell stays as it was. Raises what the source raises."""
        refs = self._source.champions()
        names = self._source.model_names()
        self._engine.model_names = frozenset(names)
        self._want(refs)
        self._find_stand_ins()
        self.settle(names)

    def settle(self, names: Iterable[str]) -> None:
        """Write down who serves, forget files that nobody needs, tell the registry what cannot be served."""
        self._write(sorted(names))
        self._tell()

    def wait_for_tries(self, timeout_s: float, *, only_from_disk: bool = False) -> None:
        """Until each champion, and who stands in for one, has been tried once, or the time is over."""
        deadline = time.monotonic() + timeout_s
        for keeper in [*self._wanted.values(), *self._stand_ins.values()]:
            if keeper.is_here or not only_from_disk:
                keeper.has_tried.wait(max(0.0, deadline - time.monotonic()))

    def end(self, timeout_s: float) -> None:
        """Let go of all, and end the processes of those that have one."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            keepers = {*self._wanted.values(), *self._serving.values(), *self._stand_ins.values()}
            self._wanted, self._serving, self._stand_ins = {}, {}, {}
        for keeper in keepers:
            keeper.release()
        for keeper in keepers:
            keeper.end(max(0.0, deadline - time.monotonic()))

    # --- who is wanted, who serves

    def _want(self, refs: Iterable[ChampionRef]) -> None:
        wanted = {ref.model: ref for ref in refs}
        with self._lock:
            for ref in wanted.values():
                self._want_one(ref)
            for model in self._wanted.keys() - wanted.keys():
                self._drop(model)

    def _want_one(self, ref: ChampionRef) -> None:
        now, serving = self._wanted.get(ref.model), self._serving.get(ref.model)
        if now is not None and now.ref == ref:
            return
        if now is not None and now is not serving:
            now.release()
        self._let_go_of_stand_in(ref.model)
        self._note_problem(ref.model, "")
        if serving is not None and serving.ref == ref:
            self._wanted[ref.model] = serving  # back to who answers: there is nothing to load
            return
        keeper = Keeper(ref, self._files, self._folder, take=self._take, fail=self._fail)
        self._wanted[ref.model] = keeper
        keeper.start()

    def _drop(self, model: str) -> None:
        self._engine.served = {name: one for name, one in self._engine.served.items() if name != model}
        for keepers in (self._wanted, self._serving, self._stand_ins):
            if (keeper := keepers.pop(model, None)) is not None:
                keeper.release()
        self._before.pop(model, None)
        self._said.pop(model, None)
        self._note_problem(model, "")

    def _take(self, keeper: Keeper, found: Served) -> bool:
        """Swap one reference, unless the ledger has changed its mind meanwhile."""
        ref = keeper.ref
        with self._lock:
            if self._wanted.get(ref.model) is not keeper:
                return False
            replaced = self._serving.get(ref.model)
            self._serving[ref.model] = keeper
            self._engine.served = {**self._engine.served, ref.model: found}
            self._let_go_of_stand_in(ref.model)
            self._note_problem(ref.model, "")
            if replaced is not None and replaced is not keeper:
                self._before[ref.model] = replaced.ref
                replaced.release()
        log.info("serving.champion_loaded", model=ref.model, version=ref.version, sha256=ref.sha256)
        self.on_change()
        return True

    def _fail(self, keeper: Keeper, error: str) -> None:
        """The one before goes on answering."""
        ref = keeper.ref
        with self._lock:
            if self._wanted.get(ref.model) is not keeper:
                return
            is_news = self.problems.get(ref.model) != error
            self._note_problem(ref.model, error)
        if is_news:
            log.error("serving.champion_not_loaded", model=ref.model, version=ref.version, error=error)
        self.on_change()

    def _why_away(self, model: str) -> str | None:
        return self.problems.get(model, "") if model in self._wanted else None

    # --- who answers where the champion is refused and nobody did before: in a process that began since

    def _find_stand_ins(self) -> None:
        """Raises what the source raises."""
        for model in self.problems:
            if model not in self._serving and model not in self._stand_ins:
                before = self._source.before(model)
                if before is not None:
                    self._try_stand_in(before)

    def _try_stand_in(self, ref: ChampionRef) -> None:
        with self._lock:
            if ref.model not in self.problems or ref.model in self._serving:
                return  # the champion has come meanwhile
            keeper = Keeper(
                ref, self._files, self._folder, take=self._take_for_now, fail=self._fail_to_stand_in
            )
            self._stand_ins[ref.model] = keeper
        keeper.start()

    def _take_for_now(self, keeper: Keeper, found: Served) -> bool:
        """Until the champion is loaded after all."""
        ref = keeper.ref
        with self._lock:
            is_wanted = self._stand_ins.get(ref.model) is keeper
            if not is_wanted or self._serving.get(ref.model, keeper) is not keeper:
                return False
            self._serving[ref.model] = keeper
            self._engine.served = {**self._engine.served, ref.model: found}
        log.info("serving.stand_in_loaded", model=ref.model, version=ref.version, sha256=ref.sha256)
        self.on_change()
        return True

    def _fail_to_stand_in(self, keeper: Keeper, error: str) -> None:
        log.warning(
            "serving.stand_in_not_loaded", model=keeper.ref.model, version=keeper.ref.version, error=error
        )

    def _let_go_of_stand_in(self, model: str) -> None:
        """What answers goes on until another takes its place."""
        keeper = self._stand_ins.pop(model, None)
        if keeper is not None and keeper is not self._serving.get(model):
            keeper.release()

    def _note_problem(self, model: str, error: str) -> None:
        others = {name: why for name, why in self.problems.items() if name != model}
        self.problems = {**others, model: error} if error else others

    # --- what others are told

    def _write(self, names: list[str]) -> None:
        """An older champion goes on standing in for one that cannot be loaded, after a restart too."""
        with self._lock:
            refs = {model: self._serving.get(model, keeper).ref for model, keeper in self._wanted.items()}
            wanted = [keeper.ref for keeper in (*self._wanted.values(), *self._stand_ins.values())]
            kept = Crowned(list(refs.values()), names, list(self._before.values()))
        if kept == self._kept:
            return
        try:
            snapshot.write(self._path, kept)
            if self._kept is not None:
                self._files.remove_all_but([*wanted, *kept.champions, *kept.before])
        except OSError as error:
            log.error("serving.champions_not_written", error=str(error))
        self._kept = kept

    def _tell(self) -> None:
        """The registry shows what cannot be served; should it not hear, the next round says it again."""
        for model, keeper in list(self._wanted.items()):
            serving = self._serving.get(model)
            error = self.problems.get(model, "")
            if not error and serving is not keeper:
                continue  # still being loaded
            answers = serving.ref if serving is not None and serving is not keeper else None
            said = (keeper.ref, error, answers if error else None)
            before, at = self._said.get(model, (None, 0.0))
            if said == before and not (error and time.monotonic() - at > SAY_AGAIN_S):
                continue
            self._tell_one(model, said)

    def _tell_one(self, model: str, said: tuple[ChampionRef, str, ChampionRef | None]) -> None:
        try:
            self._source.note_serving(*said)
        except Exception as error:  # noqa: BLE001  (a database that is away, or a row that cannot be)
            log.warning("serving.trouble_not_told", model=model, error=in_words(error))
        else:
            self._said[model] = (said, time.monotonic())
