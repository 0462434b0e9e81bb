"""What is answered, and what is kept of it: an answer and its record for each row."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from core.lib.ids import uuid7
from predictions.serving.callers import Caller
from predictions.serving.snapshot import ChampionRef
from scoring.check import Row

Seal = Callable[[uuid.UUID, bytes], str]


class Asked(NamedTuple):
    """What the rows of one call have in common. source: see `models.Source`."""

    ref: ChampionRef
    caller: Caller
    source: str
    request_id: str
    at: datetime


class Scored(NamedTuple):
    """One row and what the model says. n_row: its place in the call or file, from 0."""

    n_row: int
    inputs: Row
    value: Any
    label: str | None
    probabilities: dict[str, float] | None
    warnings: list[str]


class Recorder:
    """Makes answers and records of one call. Each has a new id: an id is sealed once."""

    def __init__(self, asked: Asked, seal: Seal) -> None:
        ref, caller = asked.ref, asked.caller
        self._seal = seal
        self._common = {
            "at": asked.at,
            "model": ref.model,
            "version": ref.version,
            "source": asked.source,
            "is_demo": caller.is_demo or ref.is_demo,
        }
        self._who = {
            "request_id": asked.request_id,
            "user_id": caller.user_id,
            "username": caller.username,
            "token_id": caller.token_id,
        }

    def record(self, scored: Scored) -> tuple[dict[str, Any], bytes]:
        """The answer (id, value, label, probabilities, warnings), and the record for Kafka."""
        n_row, inputs, value, label, probabilities, warnings = scored
        id_ = uuid7()
        given = {
            "id": str(id_),
            "value": value,
            "label": label,
            "probabilities": probabilities,
            "warnings": warnings,
        }
        sealed = self._seal(id_, orjson.dumps({**self._who, "inputs": inputs, "warnings": warnings}))
        record = {**self._common, **given, "row": n_row, "sealed": sealed}
        del record["warnings"]  # they quote inputs
        return given, orjson.dumps(record)
