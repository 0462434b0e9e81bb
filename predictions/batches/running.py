"""The worker's half: a batch is answered part by part, in slices between a worker's other tasks.

It is scored in the worker, not through the predict API: interactive calls keep their places, the answers are
of who asked although no token or session of theirs may live any more, and what is recorded once does not hang
on a key that Redis remembers for a day.

A part is made, written to disk, named in the row, sent, and counted, in this order. A worker that takes over
sends what is named and not counted again, byte for byte; the recorder knows the ids. `holder` says who may
name and count: one who was slow and is not the holder any more ends without a word.
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from core.access import policy
from core.access.models import User
from core.lib import live, metrics, outbox, storable
from core.lib.errors import Conflict, ConsoleError, NotFound, Unavailable
from core.lib.files import whole, write_whole
from predictions.batch_models import OPEN, BatchState, PredictionBatch
from predictions.batches import files, parts, tables
from predictions.batches.tables import FileRefused, Given, Table
from predictions.serving import served as serving
from predictions.serving.callers import Caller
from predictions.serving.deliveries import DELIVERY_TIMEOUT_S, Deliveries, Fate
from predictions.serving.files import ModelFiles
from predictions.serving.served import Served
from predictions.serving.snapshot import ChampionRef
from predictions.serving.sources import ConsoleSource, Source
from scoring.score import ScoringUnavailable
from scoring.words import grouped

log = structlog.get_logger(__name__)

SLICE_S = 20.0  # then another task of the queue has its turn
PROGRESS_EVERY_S = 1.0
# One batch works at a time: the worker's other places are for gates, and for the short calls behind clicks.
PLACE = 0x62617463
MOST_ATTEMPTS = 100  # since the last slice that went well: at a minute each at most


class Ended(Exception):
    """It goes no further: how it ended, and why."""

    def __init__(self, state: BatchState, error: str = "") -> None:
        super().__init__(error)
        self.state, self.error = state, error


class NotOurs(Exception):
    """Another worker has it by now."""


@contextmanager
def place() -> Iterator[bool]:
    """Whether this worker may work on a batch now. PostgreSQL gives the place free when a worker dies."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [PLACE])
        is_ours = bool(cursor.fetchone()[0])
    try:
        yield is_ours
    finally:
        if is_ours:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [PLACE])


def next_in_turn() -> uuid.UUID | None:
    """The open batch that nobody has and that has waited longest."""
    waiting = PredictionBatch.due().filter(state__in=OPEN)
    return waiting.order_by(F("turn_at").asc(nulls_first=True), "pk").values_list("pk", flat=True).first()


class Slice:
    """Some seconds of one batch. `run` returns whether rows are left."""

    def __init__(self, batch: PredictionBatch) -> None:
        self._batch = batch
        self._source: Source = ConsoleSource()
        self._told_at = -PROGRESS_EVERY_S

    def run(self) -> bool:
        """Raises Ended, NotOurs, and ConsoleError for what may go better later."""
        self._take()
        deliveries = Deliveries(settings.CONSOLE_PREDICTIONS_TOPIC)
        deliveries.start()
        try:
            with asyncio.Runner() as runner:
                self._send_named(deliveries, runner)
                caller = self._allowed()
                served = self._loaded()
                try:
                    return self._answer(served, self._opened(served), deliveries, runner, caller)
                finally:
                    served.stop(grace_s=0)
        except FileRefused as error:
            raise Ended(BatchState.FAILED, str(error)) from error
        finally:
            deliveries.close(DELIVERY_TIMEOUT_S)

    def _take(self) -> None:
        """Raises Ended, NotOurs."""
        batch = self._batch
        if not files.upload(batch.pk).is_file():
            raise Ended(BatchState.FAILED, _("The uploaded file is not here any more. Send it again."))
        taken = {
            "holder": secrets.token_hex(16),
            "state": BatchState.RUNNING,
            "started_at": batch.started_at or timezone.now(),
        }
        if not PredictionBatch.objects.filter(pk=batch.pk, state__in=OPEN).update(**taken):
            raise NotOurs  # cancelled at this moment
        for name, value in taken.items():
            setattr(batch, name, value)

    def _change(self, **values: Any) -> None:
        """Raises NotOurs. Reasons quote the file, whatever it holds."""
        values = storable.everything(values)
        ours = PredictionBatch.objects.filter(pk=self._batch.pk, holder=self._batch.holder)
        if not ours.filter(state=BatchState.RUNNING).update(**values):
            raise NotOurs
        for name, value in values.items():
            setattr(self._batch, name, value)

    def _allowed(self) -> Caller:
        """Who asked, as long as they may. Raises Ended, NotOurs."""
        asked = PredictionBatch.objects.filter(pk=self._batch.pk, holder=self._batch.holder)
        found = asked.values_list("is_cancel_asked", flat=True).first()
        if found is None:
            raise NotOurs
        if found:
            raise Ended(BatchState.CANCELLED)
        user = User.objects.filter(pk=self._batch.requested_by_id or 0).first()
        if user is not None:
            user.token_scopes = frozenset({"predict"})  # what it was asked with may have ended since
        if user is None or not policy.allows(user, "predict"):
            words = _("%(user)s may not predict any more.") % {"user": self._batch.username}
            raise Ended(BatchState.FAILED, words)
        return Caller(user.pk, user.get_username(), self._batch.token_id, is_demo=user.is_demo)

    def _loaded(self) -> Served:
        """The champion of now; where it is refused the one before.

        What may go better later is waited for, unless serving has the trouble too: then the one before
        answers the form and REST. Raises Ended, ConsoleError.
        """
        ref = self._champion()
        models, folder = ModelFiles(files.models(), self._source), settings.CONSOLE_VAR_DIR / "serving"
        try:
            return serving.load(ref, models, folder)
        except (Conflict, NotFound, Unavailable) as error:
            is_refused = not isinstance(error, Unavailable) or self._source.is_refused(ref)
            before = self._source.before(ref.model) if is_refused else None
            if before is None:
                raise
            words = {"model": ref.model, "version": ref.version, "error": error.message}
            log.warning("batch.champion_refused", answers=before.version, **words)
        return serving.load(before, models, folder)

    def _champion(self) -> ChampionRef:
        for ref in self._source.champions():
            if ref.model == self._batch.model:
                return ref
        words = _("No version of %(model)s answers any more.") % {"model": self._batch.model}
        raise Ended(BatchState.FAILED, words)

    def _opened(self, served: Served) -> Table:
        """The file, its rows counted. Raises FileRefused, Ended, NotOurs."""
        batch = self._batch
        table = tables.opened(files.upload(batch.pk), batch.format, served.spec)  # type: ignore[arg-type]
        if batch.n_rows is None:
            most = settings.CONSOLE_BATCHES_MAX_ROWS
            n_rows = table.count(most)
            if n_rows > most:
                words = _("The file has more than %(most)s rows: send it in parts.")
                raise Ended(BatchState.FAILED, words % {"most": grouped(most)})
            if not n_rows:
                raise Ended(BatchState.FAILED, _("The file has a header and no rows."))
            self._change(n_rows=n_rows)
        return table

    def _send_named(self, deliveries: Deliveries, runner: asyncio.Runner) -> None:
        """The part of a worker that died between naming and counting: some of it may be in Kafka.

        Raises Ended when it is gone, Unavailable, NotOurs.
        """
        batch = self._batch
        if len(batch.parts) > batch.n_sent:
            path = files.part(batch.pk, batch.parts[batch.n_sent])
            try:
                content = path.read_bytes()
            except FileNotFoundError as error:
                raise Ended(BatchState.FAILED, _gone()) from error
            self._send(parts.decode(content), deliveries, runner)

    def _answer(
        self, served: Served, table: Table, deliveries: Deliveries, runner: asyncio.Runner, caller: Caller
    ) -> bool:
        """Part by part until the time is over, one at least; whether rows are left."""
        until = time.monotonic() + SLICE_S
        for chunk in parts.chunks(table.rows(self._batch.n_done), table.columns):
            self._send(self._made(served, chunk, caller, runner), deliveries, runner)
            caller = self._allowed()
            if time.monotonic() >= until:
                return True  # the next slice finds none, where this was the last
        return False

    def _made(self, served: Served, rows: list[Given], caller: Caller, runner: asyncio.Runner) -> parts.Part:
        """On disk, and named in the row. Raises Unavailable, NotOurs."""
        batch = self._batch
        try:
            made = parts.made(
                served, rows, batch.n_done, caller=caller, batch_id=str(batch.pk), runner=runner
            )
        except ScoringUnavailable as error:
            raise Unavailable(str(error), service="runner") from error
        name = f"{len(batch.parts):06}-{batch.holder[:8]}"
        write_whole(files.part(batch.pk, name), made.encode())
        self._change(parts=[*batch.parts, name])
        return made

    def _send(self, part: parts.Part, deliveries: Deliveries, runner: asyncio.Runner) -> None:
        """Safe in Kafka, and counted. Raises Unavailable, NotOurs."""
        batch = self._batch
        fate = runner.run(_sent(deliveries, part.records))
        if fate is not Fate.SAFE:
            raise Unavailable(_("Kafka did not confirm the records."), service="kafka")
        n_shown = parts.SHOWN_REFUSED - len(batch.refused)
        refused = [{"row": row, "message": message} for row, message in part.refused[:n_shown]]
        self._change(
            n_sent=batch.n_sent + 1,
            n_predicted=batch.n_predicted + part.n_predicted,
            n_refused=batch.n_refused + part.n_refused,
            refused=[*batch.refused, *refused],
            versions=list(dict.fromkeys([*batch.versions, part.version])),
        )
        metrics.BATCH_ROWS.labels("predicted").inc(part.n_predicted)
        metrics.BATCH_ROWS.labels("refused").inc(part.n_refused)
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            self._told_at = time.monotonic()
            live.publish("batches", [batch.pk])


async def _sent(deliveries: Deliveries, records: list[bytes]) -> Fate:
    return await deliveries.send(records)


# --- turns


def work(batch_id: str) -> uuid.UUID | None:
    """Give a batch its slice; returns which is next, if any. Does nothing while another one has its turn."""
    with place() as is_ours:
        batch = outbox.claim(PredictionBatch, batch_id) if is_ours else None
        if batch is None:
            return None
        if not batch.is_open:
            batch.mark_delivered()
        else:
            with outbox.kept(batch), translation.override(batch.language or settings.LANGUAGE_CODE):
                _turn(batch)
    return next_in_turn()


def _turn(batch: PredictionBatch) -> None:
    try:
        if batch.delivery_attempts > MOST_ATTEMPTS:
            raise Ended(BatchState.FAILED, batch.delivery_error)
        is_left = Slice(batch).run()
    except NotOurs:
        log.info("batch.taken_over", batch=str(batch.pk))
    except Ended as how:
        end(batch, how.state, how.error)
    except ConsoleError as error:
        log.warning("batch.waits", batch=str(batch.pk), error=error.message)
        batch.mark_retry(error.message)
        live.publish("batches", [batch.pk])
    else:
        if is_left:
            _put_down(batch)
        else:
            end(batch, *_success(batch))


def _put_down(batch: PredictionBatch) -> None:
    now = timezone.now()
    again = {"delivery_attempts": 0, "delivery_error": "", "next_attempt_at": now, "turn_at": now}
    PredictionBatch.objects.filter(pk=batch.pk, holder=batch.holder, state=BatchState.RUNNING).update(**again)


def _success(batch: PredictionBatch) -> tuple[BatchState, str]:
    """A file of which no row could be predicted has failed, though its reasons can be taken away."""
    if batch.n_predicted:
        return BatchState.SUCCEEDED, ""
    words = _("No row could be predicted. Row %(row)s: %(message)s")
    return BatchState.FAILED, words % batch.refused[0]


def end(batch: PredictionBatch, state: BatchState, error: str = "") -> None:
    """With a result of all that is safe in Kafka; what it was made from goes.

    Without one where parts are gone, as after a restore: it must end all the same. Raises OSError for a disk
    that may take the result later, as often as other faults are put up with.
    """
    try:
        if batch.n_done:
            _write_result(batch)
    except OSError as fault:
        if not isinstance(fault, FileNotFoundError) and batch.delivery_attempts <= MOST_ATTEMPTS:
            raise
        log.warning("batch.no_result", batch=str(batch.pk), error=str(fault))
        state = BatchState.FAILED if state == BatchState.SUCCEEDED else state
        error = error or _gone()
    ours = PredictionBatch.objects.filter(pk=batch.pk, holder=batch.holder, state__in=OPEN)
    ended = {"ended_at": timezone.now(), "next_attempt_at": None, "delivery_error": ""}
    if ours.update(state=state, error=storable.text(error), **ended):
        files.forget_parts(batch.pk)
        metrics.BATCHES_ENDED.labels(state).inc()
        live.publish("batches", [batch.pk])


def _gone() -> str:
    return _("Answers that were written are not here any more. The predictions stay.")


def _write_result(batch: PredictionBatch) -> None:
    with whole(files.result(batch.pk)) as path, path.open("wb") as file:
        file.write(parts.header(batch.columns))
        for name in batch.parts[: batch.n_sent]:
            file.write(parts.decode(files.part(batch.pk, name).read_bytes()).lines)
