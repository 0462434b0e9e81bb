"""Some rows of a file, answered: their records as Kafka gets them, and their lines of the result.

A part is written to disk before anything of it is sent. Whoever goes on after a death sends the very same
bytes again: so no row is scored twice, none has two ids, and no id is sealed twice.
"""

import asyncio
import inspect
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from django.utils.translation import gettext as _

from core.lib import csv_out, json_out
from predictions import sealing
from predictions.batches.tables import Given
from predictions.serving.callers import Caller
from predictions.serving.deliveries import most_record_bytes
from predictions.serving.records import Asked, Recorder, Scored
from predictions.serving.served import Served
from scoring.check import CheckError, NoNumber, Row, Rows
from scoring.language import own_column
from scoring.score import ModelFailure
from scoring.words import grouped

ROWS = 500
CHARACTERS = 2 * 1024 * 1024
# Reasons that the row of the batch keeps, for its page: the result has them all.
SHOWN_REFUSED = 20
LONGEST_WORDS = 500

OWN_COLUMNS = (
    "row",
    "id",
    "version",
    "value",
    "label",
    "probability",
    "probabilities",
    "warnings",
    "error",
)


class Part(msgspec.Struct, frozen=True):
    """records: of the rows that were predicted. lines: of the result, of all rows. refused: the first few."""

    version: str
    records: list[bytes]
    lines: bytes
    n_predicted: int
    n_refused: int
    refused: list[tuple[int, str]]

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)


def decode(content: bytes) -> Part:
    return msgspec.msgpack.decode(content, type=Part)


class Answered(NamedTuple):
    """What came of one row: a score, or why there is none."""

    scored: Scored | None
    error: str = ""


def header(columns: Sequence[str]) -> bytes:
    """The first line of a result: the console's own columns, then the file's."""
    return csv_out.lines([[*(own_column(name, columns) for name in OWN_COLUMNS), *columns]])


def chunks(rows: Iterable[Given], columns: Sequence[str]) -> Iterator[list[Given]]:
    """Rows for one part each: so many of them, or so many bytes, that Kafka takes them in its time."""
    names = sum(map(len, columns))  # a record holds them too
    found: list[Given] = []
    n_characters = 0
    for row in rows:
        found.append(row)
        n_characters += names + sum(map(len, row.cells))
        if len(found) == ROWS or n_characters >= CHARACTERS:
            yield found
            found, n_characters = [], 0
    if found:
        yield found


def made(
    served: Served,
    rows: Sequence[Given],
    first: int,
    *,
    caller: Caller,
    batch_id: str,
    runner: asyncio.Runner,
) -> Part:
    """Check, score and seal these rows; `first` is the number of the first of them, from 0.

    Raises ScoringUnavailable, when nothing can be scored at the moment.
    """
    answered = _answered(served, rows, first, runner)
    asked = Asked(served.ref, caller, "batch", batch_id, datetime.now(UTC))
    recorder = Recorder(asked, sealing.sealer().seal)
    records: list[bytes] = []
    lines: list[list[Any]] = []
    refused: list[tuple[int, str]] = []
    most_bytes = most_record_bytes()
    for number, (row, (scored, error)) in enumerate(zip(rows, answered, strict=True), start=first + 1):
        given: dict[str, Any] = {}
        if scored is not None:
            given, record = recorder.record(scored)
            if len(record) > most_bytes:
                given = {}
                words = _("the record of the row would hold %(n)s bytes: send shorter texts")
                error = words % {"n": grouped(len(record))}
            else:
                records.append(record)
        if not given:
            refused.append((number, error[:LONGEST_WORDS]))
        lines.append([number, *_own_cells(served.ref.version, given), error, *row.cells])
    return Part(
        served.ref.version, records, csv_out.lines(lines), len(records), len(refused), refused[:SHOWN_REFUSED]
    )


def _own_cells(version: str, given: dict[str, Any]) -> list[Any]:
    if not given:
        return [""] * 7
    shares = given["probabilities"]
    return [
        given["id"],
        version,
        given["value"],
        given["label"] or "",
        shares.get(str(given["value"]), "") if shares else "",
        json_out.text(shares) if shares else "",
        "; ".join(given["warnings"]),
    ]


def _answered(served: Served, rows: Sequence[Given], first: int, runner: asyncio.Runner) -> list[Answered]:
    checked = [_checked(served, row) for row in rows]
    sound = {place: one for place, one in enumerate(checked) if isinstance(one, Rows)}
    scores = runner.run(_scored(served, [one.inputs[0] for one in sound.values()]))
    found = [Answered(None, one if isinstance(one, str) else "") for one in checked]
    for (place, one), score in zip(sound.items(), scores, strict=True):
        if isinstance(score, str):
            found[place] = Answered(None, score)
        else:
            found[place] = Answered(Scored(first + place, one.inputs[0], *score, one.warnings[0]))
    return found


def _checked(served: Served, row: Given) -> Rows | str:
    """The row as the model takes it, or what is wrong with it."""
    if row.fault:
        return row.fault
    try:
        return served.decoder.decode_rows([row.inputs])
    except CheckError as error:
        return "; ".join(fault["message"] for fault in error.errors) or error.message


_Score = tuple[Any, str | None, dict[str, float] | None]


async def _scored(served: Served, inputs: list[Row]) -> list[_Score | str]:
    """Rows that the model fails on are found half by half, and are no other's fault."""
    if not inputs:
        return []
    try:
        found = served.scorer.score_rows(Rows(inputs, [[]] * len(inputs)))
        scores = await found if inspect.isawaitable(found) else found
    except (ModelFailure, NoNumber) as error:
        if len(inputs) == 1:
            if isinstance(error, NoNumber):
                return [error.errors[0]["message"]]
            return [_("the model fails on these values: %(error)s") % {"error": error}]
        middle = len(inputs) // 2
        return await _scored(served, inputs[:middle]) + await _scored(served, inputs[middle:])
    return list(zip(scores.values, scores.labels, scores.probabilities, strict=True))
