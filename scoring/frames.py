"""What passes between the runner and its clients: frames of a length and a msgpack message."""

import asyncio
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from scoring.features import Columns
from scoring.score import Outcome
from scoring.spec import Spec

MAX_FRAME_BYTES = 64 * 1024 * 1024
_LENGTH_BYTES = 4
# So long a client waits for an answer, in however many pieces it asks.
ANSWER_TIMEOUT_S = 10.0
# So many rows a client sends at once, and the runner joins: the model's work between two replies is bounded.
PIECE_ROWS = 500


class Request(Struct, frozen=True, array_like=True):
    """numbers: float32, one column after the other in the spec's order; texts: the same, as text."""

    id: int
    n_rows: int
    numbers: bytes
    texts: list[list[str]]


class Reply(Struct, frozen=True, array_like=True):
    """error: "" when the rest counts. probabilities: float64, row after row; empty for a regression.

    is_passing: the error is of the machine (memory, files, threads), and no fault of the rows.
    """

    id: int
    error: str = ""
    values: list[Any] = []
    probabilities: bytes = b""
    is_passing: bool = False


async def read(stream: asyncio.StreamReader) -> bytes:
    """One message. Raises asyncio.IncompleteReadError at the end, ValueError when it is too long."""
    size = int.from_bytes(await stream.readexactly(_LENGTH_BYTES))
    if size > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {size} bytes is over the limit of {MAX_FRAME_BYTES}")
    return await stream.readexactly(size)


def write(stream: asyncio.StreamWriter, message: Struct) -> None:
    data = msgspec.msgpack.encode(message)
    stream.write(len(data).to_bytes(_LENGTH_BYTES) + data)


def request(number: int, spec: Spec, columns: Columns) -> Request:
    numbers = [np.asarray(columns[name], np.float32) for name in spec.number_columns]
    texts = [columns[name].tolist() for name in spec.text_columns]
    n_rows = len(columns[spec.columns[0]])
    return Request(number, n_rows, np.concatenate(numbers).tobytes() if numbers else b"", texts)


def columns(spec: Spec, asked: Request) -> Columns:
    """Raises ValueError for a request that does not fit the spec."""
    numbers = np.frombuffer(asked.numbers, np.float32).reshape(len(spec.number_columns), asked.n_rows)
    found: Columns = dict(zip(spec.number_columns, numbers, strict=True))
    for name, texts in zip(spec.text_columns, asked.texts, strict=True):
        found[name] = np.empty(asked.n_rows, dtype=object)
        found[name][:] = texts
    return found


def reply(number: int, outcome: Outcome) -> Reply:
    shares = b"" if outcome.probabilities is None else np.asarray(outcome.probabilities, np.float64).tobytes()
    return Reply(number, values=np.asarray(outcome.values).tolist(), probabilities=shares)


def outcome(spec: Spec, answered: Reply) -> Outcome:
    values = np.asarray(answered.values)
    if not spec.class_values:
        return Outcome(values, None)
    return Outcome(values, np.frombuffer(answered.probabilities, np.float64).reshape(len(values), -1))
