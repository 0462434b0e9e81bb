"""The predicting process's side of a runner: the child itself, and a client that scores like a `Scorer`."""

import asyncio
import itertools
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from scoring import frames, sandbox
from scoring.check import Rows
from scoring.confine import Limits
from scoring.features import Columns, Featurizer
from scoring.score import ModelFailure, Outcome, Presenter, Scores, ScoringUnavailable
from scoring.spec import Spec

START_TIMEOUT_S = 60.0
# A runner that answers nobody for so long hangs: one that works, however slowly, replies after each piece.
HUNG_AFTER_S = 3 * frames.ANSWER_TIMEOUT_S
SOCKET = "runner.sock"


class RunnerUnavailable(ScoringUnavailable):
    """No runner answers; the rows may be sent again."""


class RunnerProcess:
    """One runner, a sandboxed child. It dies with this process.

    folder: holds `model/` and `spec.json`, and is all that the child may read or write.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, isolation: str) -> None:
        self._process = process
        self.folder = folder
        self.isolation = isolation

    @classmethod
    def start(
        cls, folder: Path, *, memory_bytes: int = 4 * 1024**3, weak_is_allowed: bool = False
    ) -> "RunnerProcess":
        """Wait until it answers. Raises RunnerUnavailable, with the end of its log."""
        limits = Limits(memory_bytes=memory_bytes, weak_is_allowed=weak_is_allowed)
        with (folder / "runner.log").open("w+b") as log, tempfile.TemporaryFile() as news:
            with _listener(folder) as listener:  # its own copy stays open in the child
                process = sandbox.start(
                    ["scoring.runner", "model", "spec.json", str(listener.fileno())],
                    cwd=folder,
                    limits=limits,
                    stdout=log,
                    stderr=log,
                    news=news,
                    descriptors=[listener.fileno()],
                )
            if not _answers(folder):
                sandbox.end(process)
                raise RunnerUnavailable(f"The runner did not start: {_last_line(log)}")
            return cls(process, folder, sandbox.tail(news))

    @property
    def is_alive(self) -> bool:
        """Whether it runs and can be called."""
        return self._process.poll() is None and (self.folder / SOCKET).exists()

    def stop(self) -> None:
        sandbox.end(self._process)


class RunnerClient:
    """Scores through a runner's socket: many calls at a time over one connection, made when needed."""

    def __init__(self, folder: Path, spec: Spec) -> None:
        self.spec = spec
        self._folder = folder
        self._featurizer = Featurizer(spec)
        self._presenter = Presenter(spec)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[frames.Reply]] = {}
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._unanswered_since: float | None = None  # the first call after the last reply

    @property
    def is_hung(self) -> bool:
        """Whether somebody waits, and nobody has got an answer for three times as long as a call waits.

        May be asked by another thread.
        """
        since = self._unanswered_since
        return since is not None and bool(self._waiting) and time.monotonic() - since > HUNG_AFTER_S

    async def score_rows(self, rows: Rows | Sequence[Mapping[str, Any]]) -> Scores:
        """Checked raw rows. Raises ModelFailure, RunnerUnavailable, NoNumber."""
        return await self.score(self._featurizer.columns(rows))

    async def score(self, columns: Columns) -> Scores:
        return self._presenter.scores(await self.predict(columns))

    async def predict(self, columns: Columns) -> Outcome:
        """In pieces, one after the other: others' rows get their turn in between.

        Raises ModelFailure, RunnerUnavailable.
        """
        n_rows = len(columns[self.spec.columns[0]])
        pieces = [
            slice(start, start + frames.PIECE_ROWS) for start in range(0, max(1, n_rows), frames.PIECE_ROWS)
        ]
        try:
            async with asyncio.timeout(frames.ANSWER_TIMEOUT_S):
                return _joined(
                    [await self._ask({k: v[piece] for k, v in columns.items()}) for piece in pieces]
                )
        except (TimeoutError, ConnectionError) as error:
            raise RunnerUnavailable("The runner does not answer.") from error

    async def _ask(self, columns: Columns) -> Outcome:
        writer = await self._connected()
        asked = frames.request(next(self._numbers), self.spec, columns)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[asked.id] = answer
        if self._unanswered_since is None:
            self._unanswered_since = time.monotonic()
        try:
            frames.write(writer, asked)
            reply = await answer
        finally:
            self._waiting.pop(asked.id, None)
        if reply.error:
            raise RunnerUnavailable(reply.error) if reply.is_passing else ModelFailure(reply.error)
        return frames.outcome(self.spec, reply)

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None and not self._writer.is_closing():
                return self._writer
            try:
                with _short_path(self._folder) as path:
                    reader, self._writer = await asyncio.open_unix_connection(path)
            except OSError as error:
                raise RunnerUnavailable("There is no runner for this model.") from error
            self._listener = asyncio.create_task(self._listen(reader, self._writer))
            return self._writer

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        decoder = msgspec.msgpack.Decoder(frames.Reply)
        try:
            while True:
                reply = decoder.decode(await frames.read(reader))
                do_others_wait = len(self._waiting) > (reply.id in self._waiting)
                self._unanswered_since = time.monotonic() if do_others_wait else None
                if (answer := self._waiting.get(reply.id)) is not None and not answer.done():
                    answer.set_result(reply)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, msgspec.MsgspecError) as error:
            writer.close()
            self._unanswered_since = None
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ConnectionResetError(f"the runner hung up: {error}"))


def _joined(outcomes: list[Outcome]) -> Outcome:
    if len(outcomes) == 1:
        return outcomes[0]
    shares = [one.probabilities for one in outcomes if one.probabilities is not None]
    return Outcome(
        np.concatenate([one.values for one in outcomes]), np.concatenate(shares) if shares else None
    )


class _short_path:
    """The socket's path in a form that fits the 107 characters of a socket address, however deep it lies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> str:
        self._descriptor = os.open(self._folder, os.O_PATH)
        return f"/proc/self/fd/{self._descriptor}/{SOCKET}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _listener(folder: Path) -> socket.socket:
    """The socket that the child takes calls on, for this user only."""
    (folder / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    with _short_path(folder) as path:
        listener.bind(path)
    (folder / SOCKET).chmod(0o600)
    listener.listen(100)
    return listener


def _answers(folder: Path) -> bool:
    """Call, hang up, wait for the other side to do so: a loaded model does, a dead child resets."""
    with _short_path(folder) as path, socket.socket(socket.AF_UNIX) as call:
        call.settimeout(START_TIMEOUT_S)
        try:
            call.connect(path)
            call.shutdown(socket.SHUT_WR)
            return call.recv(1) == b""
        except OSError:
            return False


def _last_line(log: IO[bytes]) -> str:
    lines = sandbox.tail(log).strip().splitlines()
    return lines[-1][:500] if lines else "it said nothing"
