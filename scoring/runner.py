"""Serves one original that ONNX cannot express: `python -m scoring.runner MODEL_DIR SPEC_PATH DESCRIPTOR`.

It runs in the sandbox, a child of the process that predicts, and makes no socket: it takes calls on the
listening one that it was given. Requests that arrive while the model works wait
and are answered together: one call of scikit-learn costs milliseconds for one row, and hardly more for a
hundred.
"""

import asyncio
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from scoring import frames
from scoring.features import Columns
from scoring.originals import Original
from scoring.score import Outcome, Predictor, is_passing
from scoring.spec_reading import read_spec


class _Waiting(NamedTuple):
    number: int
    columns: Columns
    n_rows: int
    writer: asyncio.StreamWriter
    arrived_at: float  # by the monotonic clock, in s


class Runner:
    """Answers requests of any number of connections with one model, a batch at a time."""

    def __init__(self, model: Predictor) -> None:
        self._model = model
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(maxsize=10_000)
        self._next: _Waiting | None = None  # from the queue, and too much for the batch before
        self._decoder = msgspec.msgpack.Decoder(frames.Request)

    async def serve(self, listener: socket.socket) -> None:
        """Until cancelled."""
        async with await asyncio.start_unix_server(self._connection, sock=listener):
            await self._work()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._take(await frames.read(reader), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away, as clients do
        except (ValueError, msgspec.MsgspecError) as error:
            frames.write(writer, frames.Reply(0, error=f"not understood: {error}"))
        finally:
            writer.close()

    async def _take(self, message: bytes, writer: asyncio.StreamWriter) -> None:
        asked = self._decoder.decode(message)
        try:
            columns = frames.columns(self._model.spec, asked)
        except ValueError as error:
            frames.write(writer, frames.Reply(asked.id, error=f"the columns do not fit the spec: {error}"))
            return
        await self._queue.put(_Waiting(asked.id, columns, asked.n_rows, writer, time.monotonic()))

    async def _work(self) -> None:
        while True:
            first, self._next = self._next or await self._queue.get(), None
            if batch := self._gather(first):
                await self._settle(batch)

    async def _settle(self, batch: list[_Waiting]) -> None:
        """Nobody pays for another's row: what fails together is predicted half by half."""
        joined = {name: np.concatenate([w.columns[name] for w in batch]) for name in batch[0].columns}
        try:
            outcome = await asyncio.to_thread(self._model.predict, joined)
            n_rows = sum(waiting.n_rows for waiting in batch)
            if len(outcome.values) != n_rows:  # else answers would go to other rows than theirs
                raise ValueError(f"{len(outcome.values)} answers for {n_rows} rows")
        except Exception as error:  # noqa: BLE001  (models raise what they like; the caller is told, we go on)
            if len(batch) == 1:
                self._refuse(batch[0], error)
                return
            middle = len(batch) // 2
            await self._settle(batch[:middle])
            await self._settle(batch[middle:])
            return
        self._answer(batch, outcome)

    def _gather(self, first: _Waiting) -> list[_Waiting]:
        """What waits by now, up to a piece; empty where nobody waits for any of it any more."""
        batch: list[_Waiting] = []
        n_rows, found = 0, first
        while True:
            if batch and n_rows + found.n_rows > frames.PIECE_ROWS:
                self._next = found
                return batch
            if time.monotonic() - found.arrived_at < frames.ANSWER_TIMEOUT_S:
                batch.append(found)
                n_rows += found.n_rows
            else:  # the caller gave up, and learns by this that the model goes on
                self._refuse(found, TimeoutError("it waited too long for its turn"))
            if self._queue.empty():
                return batch
            found = self._queue.get_nowait()

    @staticmethod
    def _answer(batch: list[_Waiting], outcome: Outcome) -> None:
        start = 0
        for waiting in batch:
            rows = slice(start, start + waiting.n_rows)
            shares = None if outcome.probabilities is None else outcome.probabilities[rows]
            if not waiting.writer.is_closing():
                frames.write(
                    waiting.writer, frames.reply(waiting.number, Outcome(outcome.values[rows], shares))
                )
            start += waiting.n_rows

    @staticmethod
    def _refuse(waiting: _Waiting, error: Exception) -> None:
        words = f"{type(error).__name__}: {error}"[:1000]
        if not waiting.writer.is_closing():
            reply = frames.Reply(waiting.number, error=words, is_passing=is_passing(error))
            frames.write(waiting.writer, reply)


def main(argv: list[str]) -> None:
    model_dir, spec_path, descriptor = Path(argv[1]), Path(argv[2]), int(argv[3])
    model = Original.load(model_dir, read_spec(spec_path.read_bytes()))
    asyncio.run(Runner(model).serve(socket.socket(fileno=descriptor)))


if __name__ == "__main__":
    main(sys.argv)
