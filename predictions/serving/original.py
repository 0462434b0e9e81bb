"""A champion that ONNX cannot express: its original in a sandboxed child of this process, behind a socket."""

import asyncio
import fcntl
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from django.conf import settings

from scoring import missing
from scoring.check import Rows
from scoring.runner_client import RunnerClient, RunnerProcess
from scoring.score import Outcome, Scores
from scoring.spec import Spec

# Calls under way when a champion is replaced still get their answers.
GRACE_S = 15.0
HANG_UP_S = 5.0


class OriginalScorer:
    """Scores through the child; `predict` is for threads, `score_rows` for the event loop."""

    def __init__(
        self, model_folder: Path, spec: Spec, run_folder: Path, missing_as: Mapping[str, str]
    ) -> None:
        """Start the child and wait for it. Raises RunnerUnavailable.

        missing_as: what the original takes for missing text, see `scoring.missing`.
        """
        self.spec = spec
        self._folder = run_folder
        self._clients: dict[asyncio.AbstractEventLoop, RunnerClient] = {}
        _sweep(run_folder.parent)
        self._lock = _held(run_folder)
        try:
            self._process = _started(model_folder, spec, run_folder, missing_as)
        except BaseException:
            self._remove()
            raise

    async def score_rows(self, rows: Rows) -> Scores:
        """Raises ModelFailure, NoNumber, RunnerUnavailable."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            client = self._clients[loop] = RunnerClient(self._folder, self.spec)
        return await client.score_rows(rows)

    def predict(self, columns: Mapping[str, np.ndarray]) -> Outcome:
        """Raises ModelFailure, RunnerUnavailable."""
        return asyncio.run(self._predict(columns))

    async def _predict(self, columns: Mapping[str, np.ndarray]) -> Outcome:
        client = RunnerClient(self._folder, self.spec)
        try:
            return await client.predict(dict(columns))
        finally:
            await client.close()

    @property
    def is_alive(self) -> bool:
        """Whether it runs and answers."""
        return self._process.is_alive and not any(client.is_hung for client in [*self._clients.values()])

    def stop(self, grace_s: float = GRACE_S) -> None:
        """End the child, by default a little later: somebody may still be waiting for it."""
        if grace_s:
            timer = threading.Timer(grace_s, self._end)
            timer.daemon = True
            timer.start()
        else:
            self._end()

    def _end(self) -> None:
        """Not for the event loops that have scored: they are asked to hang up, from another thread."""
        try:
            for loop, client in self._clients.items():
                if loop.is_running():
                    asyncio.run_coroutine_threadsafe(client.close(), loop).result(HANG_UP_S)
        finally:
            self._process.stop()
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()


def run_folder(root: Path, sha256: str) -> Path:
    """A new place for a child: never that of another one of the same model."""
    return root / "runners" / f"{sha256[:16]}-{secrets.token_hex(8)}"


def _started(model_folder: Path, spec: Spec, folder: Path, missing_as: Mapping[str, str]) -> RunnerProcess:
    shutil.copytree(model_folder, folder / "model")
    (folder / "spec.json").write_bytes(spec.to_json())
    missing.write(folder, missing_as)
    return RunnerProcess.start(folder, weak_is_allowed=settings.CONSOLE_ALLOW_WEAK_SANDBOX)


# Held by the process that uses the folder, for as long as it lives: numbers of processes tell nothing where
# containers share a disk.
_LOCK = "lock"
_UNHELD = ".new"
_MADE_WITHIN_S = 60


def _held(folder: Path) -> IO[bytes]:
    """Make the folder; it is nobody else's until what is returned is closed, or this process is gone."""
    unheld = folder.with_name(folder.name + _UNHELD)
    unheld.mkdir(parents=True, mode=0o700)
    try:
        lock = (unheld / _LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unheld.rename(folder)
    except BaseException:
        shutil.rmtree(unheld, ignore_errors=True)
        raise
    return lock


def _sweep(root: Path) -> None:
    """Remove what processes that were killed left behind."""
    for left in root.glob("*"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    try:
        if folder.suffix == _UNHELD and time.time() - folder.stat().st_mtime < _MADE_WITHIN_S:
            return False
        with (folder / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or another process removes it at this moment
        return False
    return True
