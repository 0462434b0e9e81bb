"""Sending a file to a topic at a pace, each line exactly once, in slices between a worker's other tasks."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import msgspec
import structlog
from django.db.models import F
from django.db.models.functions import Greatest
from django.utils.translation import gettext as _

from core.lib import live, metrics, topics
from core.lib.errors import NotFound
from streaming import pacing, replay_files
from streaming.exactly_once import Outgoing, Sender, forget
from streaming.models import Replay, ReplayState, Times
from streaming.replay_files import BadLine, Event, FileRefused, Format

log = structlog.get_logger(__name__)

SLICE_S = 60.0  # then another task of the queue has its turn
BATCH = 2_000
EVERY_S = 0.1
PROGRESS_EVERY_S = 1.0


def sender_name(replay: Replay) -> str:
    """Of the transactions, and of the group that holds the number of the next line."""
    return f"replay-{replay.pk}"


def n_in_kafka(replay: Replay) -> int:
    """Lines that are sent for good; who else sends for the replay is stopped. Raises KafkaException."""
    with Sender(sender_name(replay), replay.topic) as sender:
        return sender.next_number()


def forget_number(replay: Replay) -> None:
    """For when the row says that the replay has ended: a crash before would start it at line 0."""
    forget(sender_name(replay))


class Slice:
    """A minute of one replay. `run` returns whether anything is left."""

    def __init__(self, replay: Replay, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._replay = replay
        self._path = path
        self._format: Format = replay_files.format_of(path)
        self._clock = clock
        self._noted_at = 0.0

    def run(self) -> bool:
        """Raises KafkaException and FileRefused; the lines that were sent stay sent."""
        replay = self._replay
        if replay.n_sent == 0:
            topics.ensure([topics.Topic(replay.topic)])
        elif not topics.is_there(replay.topic):  # whoever deleted it may be about to make it anew
            raise NotFound(_("The topic %(topic)s was deleted.") % {"topic": replay.topic}, service="kafka")
        with Sender(sender_name(replay), replay.topic) as sender:
            number = sender.next_number()
            replay.refresh_from_db(fields=["n_sent"])  # after the number: see Sender
            replay.n_sent = max(number, replay.n_sent)  # Kafka forgets a group that rests for a week
            self._begin()
            try:
                return self._send(sender)
            finally:
                self._note()

    def _begin(self) -> None:
        replay = self._replay
        if replay.n_total is None:
            replay.n_total = self._format.count(self._path)
        if replay.shift_s is None:
            lines = self._lines(0)
            sound = (one.content.at for one in lines if isinstance(one.content, Event) and not one.is_odd)
            first_at = next(sound, None)
            replay.shift_s = 0.0 if first_at is None else self._clock() - first_at
        self._note()

    def _lines(self, first: int) -> Iterator[pacing.Line]:
        """From line `first` on, judged by those before it, too, as if no slice had begun here."""
        begin = max(0, first - pacing.AROUND)
        lines = pacing.numbered(self._format.lines(self._path, begin), begin)
        return islice(lines, first - begin, None)

    def _send(self, sender: Sender) -> bool:
        """Lines as they fall due, those that are due together in one transaction."""
        replay, began_at = self._replay, self._clock()
        keeps_up = replay.speed is not None and replay.speed <= 1 and _effective(replay) == Times.MOVED
        shift_s = replay.shift_s if keeps_up else None
        pace = pacing.Pace(began_at, rate=replay.rate, speed=replay.speed, shift_s=shift_s)
        lines = self._lines(replay.n_sent)
        waiting = next(lines, None)
        while waiting is not None:
            batch: list[Outgoing] = []
            n_lines, now = 0, self._clock()
            while waiting is not None and n_lines < BATCH and pace.due_at(waiting) <= now:
                message = self._message_of(waiting.content, waiting.number, now)
                if message is None:
                    replay.n_skipped += 1
                else:
                    batch.append(message)
                n_lines += 1
                waiting = next(lines, None)
            if n_lines:
                sender.send(batch, next_number=replay.n_sent + n_lines)
                replay.n_sent += n_lines
                metrics.REPLAY_LINES.inc(n_lines)
            if self._should_pause(began_at):
                return waiting is not None
            if n_lines < BATCH:
                time.sleep(EVERY_S)
        return False

    def _message_of(self, line: Event | BadLine, number: int, now: float) -> Outgoing | None:
        """None for a line that is no event, or none that can be written as one: the others go on."""
        if isinstance(line, BadLine):
            return None
        try:
            return self._message(line, number, now)
        except (TypeError, ValueError, OverflowError) as error:
            log.info("replay.line_skipped", replay=self._replay.pk, line=number + 1, why=str(error))
            return None

    def _message(self, event: Event, number: int, now: float) -> Outgoing:
        replay = self._replay
        at_by_times: dict[str, float] = {
            Times.MOVED: event.at + (replay.shift_s or 0.0),
            Times.SENT: now,
            Times.KEPT: event.at,
        }
        at = at_by_times[_effective(replay)]
        try:
            text = datetime.fromtimestamp(at, UTC).strftime(replay_files.TIME_FORMAT)
        except (ValueError, OverflowError, OSError) as error:
            raise FileRefused(f"the moved time of line {number + 1} is in no calendar: {error}") from error
        return Outgoing(
            value=msgspec.json.encode({**event.fields, self._format.time_field: text}),
            key=event.key.encode(),
            headers=[("replay", str(replay.pk).encode()), ("line", str(number).encode())],
        )

    def _should_pause(self, began_at: float) -> bool:
        """True when somebody asked for a stop, or the slice is over; notes progress once a second."""
        if self._clock() - self._noted_at >= PROGRESS_EVERY_S:
            self._note()
            self._replay.refresh_from_db(fields=["is_stop_asked"])
        return self._replay.is_stop_asked or self._clock() - began_at > SLICE_S

    def _note(self) -> None:
        """Progress for the pages. A worker whose lease has ended meanwhile takes nothing back."""
        replay = self._replay
        Replay.objects.filter(pk=replay.pk, state=ReplayState.RUNNING).update(
            n_sent=Greatest(F("n_sent"), replay.n_sent),
            n_skipped=Greatest(F("n_skipped"), replay.n_skipped),
            n_total=replay.n_total,
            shift_s=replay.shift_s,
        )
        self._noted_at = self._clock()
        live.publish("replays", [replay.pk])


def _effective(replay: Replay) -> str:
    """Events ahead of the clock fit no stream: what is sent quicker than life gets the moment of sending."""
    if replay.times != Times.AUTO:
        return replay.times
    return Times.MOVED if replay.speed is not None and replay.speed <= 1 else Times.SENT
