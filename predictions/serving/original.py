"""A champion that ONNX cannot express: its original in a sandboxed child of this process, behind a socket."""

import asyncio
import os
import secrets
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

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
        _folders_in_use.add(run_folder)
        try:
            self._process = _started(model_folder, spec, run_folder, missing_as)
        except BaseException:
            _remove(run_folder)
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
            _remove(self._folder)


# Of this process's children; some end later than those that take their place begin.
_folders_in_use: set[Path] = set()


def run_folder(root: Path, sha256: str) -> Path:
    """A new place for a child of this process: never that of another one of the same model."""
    return root / "runners" / f"{os.getpid()}-{sha256[:16]}-{secrets.token_hex(4)}"


def _started(model_folder: Path, spec: Spec, folder: Path, missing_as: Mapping[str, str]) -> RunnerProcess:
    folder.mkdir(parents=True, mode=0o700)
    shutil.copytree(model_folder, folder / "model")
    (folder / "spec.json").write_bytes(spec.to_json())
    missing.write(folder, missing_as)
    return RunnerProcess.start(folder, weak_is_allowed=settings.CONSOLE_ALLOW_WEAK_SANDBOX)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _folders_in_use.discard(folder)


def _sweep(folder: Path) -> None:
    """Remove what processes that were killed left behind, an earlier one with our number among them."""
    for left in folder.glob("*-*"):
        pid = left.name.partition("-")[0]
        is_in_use = left in _folders_in_use if pid == str(os.getpid()) else Path(f"/proc/{pid}").exists()
        if not is_in_use:
            shutil.rmtree(left, ignore_errors=True)
