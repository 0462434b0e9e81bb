"""The background threads that keep champions and tokens current, from the database or else from disk.

Tokens, champions and the small rest go round apart, and each champion is loaded in a thread of its own: no
trouble of one delays another's swap, or the end of a revoked token. They wake at Redis messages on `tokens`
and `champions`, and at a slow pace besides, should one be lost. No request waits for them: a champion is
loaded, verified and tested first, and then one reference is swapped.
"""

import math
import time
from pathlib import Path

import structlog

from core.lib import redis as console_redis
from core.lib.aside import in_words
from predictions.serving import metrics, snapshot
from predictions.serving.callers import Callers
from predictions.serving.champions import Champions
from predictions.serving.engine import Engine
from predictions.serving.rounds import Rounds
from predictions.serving.snapshot import LiveTokens
from predictions.serving.sources import Source
from predictions.serving.unanswered import Unanswered

log = structlog.get_logger(__name__)

EVERY_S = 3.0
BEGIN_S = 10.0
STOP_S = 5.0
MARKERS_EVERY_S = 10.0
LISTEN_S = 0.5


class Refresher:
    """Brings `engine` and `callers` up to date."""

    def __init__(
        self, engine: Engine, callers: Callers, source: Source, folder: Path, unanswered: Unanswered
    ) -> None:
        self._engine = engine
        self._callers = callers
        self._source = source
        self._tokens_path = folder / "tokens.json"
        self._unanswered = unanswered
        self._champions = Champions(engine, source, folder)
        self._source_errors: dict[str, str] = {}
        self._markers_sent_at = 0.0
        self._rounds: dict[str, Rounds] = {}

    @property
    def problems(self) -> dict[str, str]:
        """By model, why its newest champion is not the one that answers."""
        return self._champions.problems

    @property
    def source_error(self) -> str:
        """Why the database does not say what it should; "" when it does."""
        return "; ".join(tuple(self._source_errors.values()))

    def start(self) -> None:
        """Keep up in threads; return once disk, or else the database, has been asked, or after a while."""
        is_known = self._is_known_from_disk()
        self._rounds = {
            "tokens": Rounds("serving-tokens", EVERY_S, self.refresh_tokens),
            "champions": Rounds("serving-champions", EVERY_S, self.refresh_champions),
            "rest": Rounds("serving-rest", EVERY_S, self._do_the_rest),
            "messages": Rounds("serving-messages", EVERY_S, self._listen),
        }
        self._champions.on_change = self._rounds["champions"].wake
        for rounds in self._rounds.values():
            rounds.start()
        self._wait(is_known)

    def stop(self) -> None:
        """End the threads, and the processes of champions that have one."""
        deadline = time.monotonic() + STOP_S
        for rounds in self._rounds.values():
            rounds.stop()
        for rounds in self._rounds.values():
            rounds.join(max(0.0, deadline - time.monotonic()))
        self._champions.end(STOP_S)

    def load_from_disk(self) -> bool:
        """Needs neither the database nor MLflow; whether there was anything."""
        tokens = snapshot.read(self._tokens_path, LiveTokens)
        if tokens is not None:
            age_s = time.time() - tokens.as_of
            # Of a clock that has been set back since: how old it is nobody knows.
            self._callers.replace(tokens.grants, age_s=age_s if age_s >= 0 else math.inf)
        are_there_champions = self._champions.load_from_disk()
        self._champions.wait_for_tries(BEGIN_S, only_from_disk=True)
        return tokens is not None and are_there_champions

    def refresh(self, timeout_s: float = BEGIN_S) -> None:
        """One round of all, in this thread, until every new champion has been tried."""
        self.refresh_tokens()
        self.note_used()
        self.refresh_champions()
        self._champions.wait_for_tries(timeout_s)
        self._champions.settle(self._engine.model_names)

    def refresh_tokens(self) -> None:
        """Ask once which tokens live; what the database cannot tell stays as it was."""
        as_of, began = time.time(), time.monotonic()
        try:
            grants = self._source.grants()
        except Exception as error:  # noqa: BLE001  (whatever it is, the next round asks again)
            self._note_source_error("tokens", in_words(error))
            return
        self._callers.replace(grants, age_s=time.monotonic() - began)
        self._note_source_error("tokens", "")
        self._keep_tokens(LiveTokens(as_of, grants))

    def refresh_champions(self) -> None:
        """Ask once who is champion; loading is the champions' own."""
        try:
            self._champions.refresh()
        except Exception as error:  # noqa: BLE001  (whatever it is, the next round asks again)
            self._note_source_error("champions", in_words(error))
        else:
            self._note_source_error("champions", "")

    def note_used(self) -> None:
        """Say which tokens called, while the database listens."""
        if self.source_error or not (used := self._callers.take_used()):
            return
        try:
            self._source.note_used(used)
        except Exception as error:  # noqa: BLE001  (whatever it is, calls go on)
            log.warning("serving.use_not_noted", error=in_words(error))

    def _is_known_from_disk(self) -> bool:
        try:
            return self.load_from_disk()
        except Exception:
            log.exception("serving.begin_broken")  # the rounds that follow may mend it
            return False

    def _wait(self, is_known: bool) -> None:
        deadline = time.monotonic() + BEGIN_S
        if not is_known:
            for name in ("tokens", "champions"):
                self._rounds[name].has_turned.wait(max(0.0, deadline - time.monotonic()))
            self._champions.wait_for_tries(max(0.0, deadline - time.monotonic()))

    def _keep_tokens(self, tokens: LiveTokens) -> None:
        try:
            snapshot.write(self._tokens_path, tokens)
        except OSError as error:
            log.error("serving.tokens_not_written", error=str(error))

    def _do_the_rest(self) -> None:
        """What may be slow and nobody waits for."""
        metrics.write(self._engine.in_flight)
        self.note_used()
        if time.monotonic() - self._markers_sent_at >= MARKERS_EVERY_S:
            self._markers_sent_at = time.monotonic()
            self._unanswered.send()

    def _listen(self) -> None:
        """Wake the rounds that a message names, until Redis goes away; then the slow pace has to do."""
        try:
            with console_redis.client().pubsub(ignore_subscribe_messages=True) as pubsub:
                pubsub.subscribe("tokens", "champions")
                self._wake("tokens", "champions")  # what was said before nobody heard
                while not self._rounds["messages"].is_ending:
                    message = pubsub.get_message(timeout=LISTEN_S)
                    if message is not None:
                        self._wake(message["channel"])
        except (console_redis.RedisError, OSError) as error:
            log.debug("serving.no_messages", error=str(error))

    def _wake(self, *names: str) -> None:
        for name in names:
            self._rounds[name].wake()

    def _note_source_error(self, what: str, error: str) -> None:
        before = self._source_errors.pop(what, "")
        if error:
            self._source_errors[what] = error
        if error and not before:
            log.warning("serving.refresh_failed", what=what, error=error)
        if before and not error:
            log.info("serving.refresh_recovered", what=what)
