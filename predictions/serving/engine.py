"""From body to recorded answer: what the ASGI path, the form and REST in a session share."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import orjson
from django.utils.translation import gettext as _

from core.lib.errors import Conflict, ConsoleError, InvalidRequest, NotFound, Unavailable
from predictions import sealing
from predictions.errors import Busy, NotJSON, TooLarge, UnknownKind
from predictions.serving.callers import Caller
from predictions.serving.places import Places
from predictions.serving.record_writer import RecordWriter
from predictions.serving.records import Asked, Recorder, Scored
from predictions.serving.served import Served
from scoring.check import CheckError, Row, Rows
from scoring.explain import BUDGET_S

MAX_EXPLAINED_ROWS = 10

Decode = Callable[[Served], Rows]


class Answer(NamedTuple):
    """What the caller gets, once recorded. predictions: id, value, label, probabilities, warnings each."""

    request_id: str
    model: str
    version: str
    predictions: list[dict[str, Any]]

    def json(self) -> bytes:
        return orjson.dumps(self._asdict())


class Engine:
    """Holds the champions by name. `served` and `model_names` are replaced as a whole by the refresher.

    why_away: for a model whose champion is to answer here why it does not, "" while it is being loaded; None
    for a model without one.
    """

    def __init__(self, writer: RecordWriter, *, max_in_flight: int) -> None:
        self.served: dict[str, Served] = {}
        self.model_names: frozenset[str] = frozenset()
        self.why_away: Callable[[str], str | None] = lambda _model: None
        self._writer = writer
        self._places = Places(max_in_flight)
        self._seal = sealing.sealer().seal
        self._explainer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explain")
        self._n_explaining = 0

    @property
    def in_flight(self) -> int:
        """Rows that are being answered."""
        return self._places.n_taken

    def champion(self, model: str) -> Served:
        """Raises NotFound for an unknown model, Conflict for one without a champion.

        And Unavailable for one whose champion does not answer here.
        """
        served = self.served.get(model)
        if served is not None:
            return served
        if (why := self.why_away(model)) is not None:
            raise Unavailable(_away(model, why))
        if model in self.model_names:
            raise Conflict(
                _("%(model)s has no champion yet. Promote a version, then ask again.") % {"model": model}
            )
        raise NotFound(_("No model is called “%(model)s”.") % {"model": model[:100]})

    async def predict(
        self, served: Served, decode: Decode, caller: Caller, *, source: str, request_id: str = ""
    ) -> Answer:
        """Check, score, record, answer. source: "form" or "api"; files go by `predictions.batches`.

        The caller has looked the champion up, once: it may be another one a moment later.
        Raises NotJSON, TooLarge, UnknownKind, InvalidRequest, Busy, NotRecorded, Unavailable.
        """
        rows = checked(served, decode)
        self._places.take(len(rows))
        try:
            return await self._recorded(served, rows, caller, source, request_id)
        finally:
            self._places.give_back(len(rows))

    async def _recorded(
        self, served: Served, rows: Rows, caller: Caller, source: str, request_id: str
    ) -> Answer:
        try:
            scores = await served.score(rows)
        except CheckError as error:
            raise _as_ours(error) from error
        ref = served.ref
        answer = Answer(request_id or os.urandom(16).hex(), ref.model, ref.version, [])
        recorder = Recorder(Asked(ref, caller, source, answer.request_id, datetime.now(UTC)), self._seal)
        records = []
        columns = zip(
            rows.inputs, scores.values, scores.labels, scores.probabilities, rows.warnings, strict=True
        )
        for n_row, row in enumerate(columns):
            given, record = recorder.record(Scored(n_row, *row))
            answer.predictions.append(given)
            records.append(record)
        await self._writer.write(records, [given["id"] for given in answer.predictions])
        return answer

    async def explain(self, served: Served, decode: Decode) -> dict[str, Any]:
        """What moved the answers, field by field; nothing is recorded. One call at a time, a few may wait.

        All its rows share some seconds. A call that is cancelled is worked on no more.
        """
        rows = checked(served, decode)
        if len(rows) > MAX_EXPLAINED_ROWS:
            raise TooLarge(
                _("At most %(n)d rows are explained at once: send them in parts.") % {"n": MAX_EXPLAINED_ROWS}
            )
        budget_s = BUDGET_S / len(rows)
        explanations = [
            await self._explained(served, n_row, row, budget_s) for n_row, row in enumerate(rows.inputs)
        ]
        return {"model": served.ref.model, "version": served.ref.version, "explanations": explanations}

    async def _explained(self, served: Served, n_row: int, row: Row, budget_s: float) -> dict[str, Any]:
        if self._n_explaining >= MAX_EXPLAINED_ROWS:
            raise Busy(_("Other explanations are being worked out. Try again in a moment."), retry_after_s=2)
        self._n_explaining += 1
        has_left = threading.Event()
        try:
            loop = asyncio.get_running_loop()
            explain = partial(
                served.explain,
                row,
                n_row=n_row,
                budget_s=budget_s,
                is_wanted=lambda: not has_left.is_set(),
            )
            found = await loop.run_in_executor(self._explainer, explain)
        except CheckError as error:
            raise _as_ours(error) from error
        finally:
            has_left.set()  # the thread may be at work still
            self._n_explaining -= 1
        return {
            "base": found.base,
            "prediction": found.prediction,
            "contributions": found.contributions,
            "errors": found.errors,
            "target": found.target,
            "is_exact": found.is_exact,
            "n_reference": found.n_reference,
            "n_left_out": found.n_left_out,
        }


def _away(model: str, why: str) -> str:
    if not why:
        return _("The champion of %(model)s is being loaded. Try again in a moment.") % {"model": model}
    words = _("The champion of %(model)s is refused here, and no version answers in its stead: %(why)s")
    return words % {"model": model, "why": why}


def checked(served: Served, decode: Decode) -> Rows:
    """The rows, or the console's own error with every fault."""
    try:
        return decode(served)
    except CheckError as error:
        raise _as_ours(error) from error


def _as_ours(error: CheckError) -> ConsoleError:
    kinds: dict[int, type[ConsoleError]] = {400: NotJSON, 413: TooLarge, 415: UnknownKind}
    return kinds.get(error.status, InvalidRequest)(error.message, errors=error.errors)
